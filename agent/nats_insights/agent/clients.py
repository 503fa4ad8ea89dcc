"""Name the clients behind findings, from a bounded number of connection rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable

from nats_insights.gather.asking import in_turns
from nats_insights.gather.small import Gatherer
from nats_insights.judge.audit import Key
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.clients import FIELDS, Clients, Look, looks, ranked
from nats_insights.judge.lifecycle import Told
from nats_insights.replies.connz import Connection

log = logging.getLogger(__name__)


async def name_clients(
    told: Iterable[Told], auditor: Auditor, gatherer: Gatherer
) -> dict[Key, Clients]:
    """The clients with the largest share of each finding, for the findings that are published.

    All servers are asked at once. Replies later than one request timeout are left out; a finding
    without any reply is not in the result. Nothing is raised.
    """
    if "CONNZ" in gatherer.denied:
        return {}
    checks = {check.code: check for check in auditor.checks}
    wanted = looks(told, checks, auditor.roster)
    rows = await _read({look: None for some in wanted.values() for look in some}, gatherer)
    named = {}
    for key, some in wanted.items():
        found = [row for look in some for row in rows.get(look, ())]
        clients = [row for row in found if row.kind == "Client"]
        clients = [row for row in clients if row.account not in auditor.system_accounts]
        if clients:
            named[key] = ranked(clients, checks[key.code].clients)
        await asyncio.sleep(0)
    return named


async def _read(wanted: Collection[Look], gatherer: Gatherer) -> dict[Look, list[Connection]]:
    """The rows received within one request timeout; each server gets one request at a time."""
    rows: dict[Look, list[Connection]] = {}

    async def one(look: Look) -> None:
        try:
            page = await gatherer.pages.rows(look.server_id, FIELDS, **look.options())
        except Exception as problem:  # The finding is valid without the names of its clients.
            log.debug("no evidence from %s: %s", look.server_id, problem or type(problem).__name__)
        else:
            rows[look] = page.connections

    await in_turns(one, wanted, lambda look: look.server_id, gatherer.asker.timeout)
    return rows
