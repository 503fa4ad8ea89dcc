"""Read the names of the users that checks may find, each from one connection row."""

from __future__ import annotations

import logging
from collections.abc import Collection

from nats_insights.gather.asking import in_turns
from nats_insights.gather.small import Gatherer
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.clients import Look

log = logging.getLogger(__name__)


async def name_users(wanted: Collection[Look], auditor: Auditor, gatherer: Gatherer) -> None:
    """The names that are received within one request timeout; the next epoch asks for the rest.

    Each server gets one request at a time. Nothing is raised.
    """

    async def one(look: Look) -> None:
        try:
            name = await gatherer.pages.user_name(look.server_id, look.account, look.user)
        except Exception as problem:  # The user is shown by its key.
            log.debug("no name from %s: %s", look.server_id, problem or type(problem).__name__)
        else:
            if name is not None:
                auditor.take_name(look, name)

    await in_turns(one, wanted, lambda look: look.server_id, gatherer.asker.timeout)
