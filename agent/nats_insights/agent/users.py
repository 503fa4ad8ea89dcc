"""Read the names of the users that checks may find, each from one connection row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from nats_insights.gather.asking import each
from nats_insights.gather.small import Gatherer
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.clients import Look

log = logging.getLogger(__name__)


async def name_users(wanted: Collection[Look], auditor: Auditor, gatherer: Gatherer) -> None:
    """The names that are received within one request timeout; the next epoch asks for the rest.

    Each server gets one request at a time. Nothing is raised.
    """
    turns = {look.server_id: asyncio.Lock() for look in wanted}

    async def one(look: Look) -> None:
        try:
            async with turns[look.server_id]:
                name = await gatherer.pages.user_name(look.server_id, look.account, look.user)
        except Exception as problem:  # The user is shown by its key.
            log.debug("no name from %s: %s", look.server_id, problem or type(problem).__name__)
        else:
            if name is not None:
                auditor.take_name(look, name)

    with suppress(TimeoutError):
        async with asyncio.timeout(gatherer.asker.timeout):
            await each(one, wanted)
