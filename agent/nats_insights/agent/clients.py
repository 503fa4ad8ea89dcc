"""Evidence: which clients make findings up, from a bounded look at their connection rows."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

import nats.errors
from msgspec import Struct

from nats_insights.gather.asking import each
from nats_insights.gather.small import Gatherer
from nats_insights.judge.audit import Key
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.model.fold import row_fields
from nats_insights.model.nouns import largest
from nats_insights.model.roster import Entry, Roster
from nats_insights.replies.wire import Connection, Malformed

log = logging.getLogger(__name__)

# Findings per epoch, and servers per finding: a thousand findings must not become a thousand scans.
MOST_FINDINGS = 20
MOST_SERVERS = 3
_FIELDS = [*row_fields(()), "subscriptions", "name", "ip", "lang"]

Clients = dict[str, Any]


class Look(Struct, frozen=True):
    """Rows to read of one server: of all clients, or of an account and a user; `sort` as CONNZ."""

    server_id: str
    account: str = ""
    user: str = ""
    sort: str = ""

    def options(self) -> dict[str, str]:
        """The options of CONNZ that ask for these rows."""
        options = {"acc": self.account, "user": self.user, "sort": self.sort}
        return {option: value for option, value in options.items() if value}


async def name_clients(
    told: Iterable[Told],
    checks: Mapping[str, Check],
    gatherer: Gatherer,
    roster: Roster,
    system_accounts: Collection[str],
) -> dict[Key, Clients]:
    """The clients that make most of each finding up, for the findings that are told of.

    `checks` are by code. All servers are asked at once, and what has not come after one request
    timeout is left out; a finding of which nothing came is not in the result. Nothing is raised.
    """
    if "CONNZ" in gatherer.denied:
        return {}
    wanted = looks(told, checks, roster)
    rows = await _read({look: None for some in wanted.values() for look in some}, gatherer)
    named = {}
    for key, some in wanted.items():
        found = [row for look in some for row in rows.get(look, ())]
        clients = [row for row in found if row.kind == "Client"]
        clients = [row for row in clients if row.account not in system_accounts]
        if clients:
            named[key] = ranked(clients, checks[key.code].explain)
        await asyncio.sleep(0)
    return named


def looks(
    told: Iterable[Told], checks: Mapping[str, Check], roster: Roster
) -> dict[Key, list[Look]]:
    """Which rows to read for each finding, of servers that answered all requests of this epoch.

    None for what resolved, nor for what is stale. Findings that name no clients yet come first.
    """
    deserving = (
        item.life
        for item in told
        if item.transition != "resolved"
        and not item.life.stale
        and checks[item.life.key.code].explain
    )
    chosen = heapq.nsmallest(MOST_FINDINGS, deserving, key=lambda life: bool(life.clients))
    answering: dict[str, list[Entry]] = {}
    for entry in roster:
        if entry.state == "answering" and not entry.last_error:
            answering.setdefault(entry.name, []).append(entry)
    wanted = {}
    for life in chosen:
        account, user = life.entity.get("account", ""), life.entity.get("user", "")
        sort = "subs" if checks[life.key.code].explain == "subscriptions" else ""
        servers = [
            entry
            for name in life.servers
            for entry in answering.get(name, ())
            if _may_hold(entry, life)
        ]
        wanted[life.key] = [Look(e.id, account, user, sort) for e in servers[:MOST_SERVERS]]
    return wanted


def ranked(rows: Collection[Connection], by: str) -> Clients:
    """The names, addresses and languages that hold most of `by`, connections or subscriptions.

    `sampled` is the number of rows that this rests on.
    """
    clients: Clients = {"by": by, "sampled": len(rows)}
    for title, field in (("names", "name"), ("addresses", "ip"), ("languages", "lang")):
        counts: Counter[str] = Counter()
        for row in rows:
            counts[getattr(row, field)] += row.subscriptions if by == "subscriptions" else 1
        clients[title] = largest(counts)
    return clients


async def why_closed(gatherer: Gatherer, server_id: str, connection: int) -> str:
    """The reason that a server remembers for having closed a connection, "" if it has none."""
    closed = 1  # By number: as a word servers refuse it.
    try:
        page = await gatherer.pages.rows(server_id, ["cid", "reason"], state=closed, cid=connection)
    except (Malformed, nats.errors.Error):
        return ""
    return next((row.reason for row in page.connections if row.cid == connection), "")


def _may_hold(entry: Entry, life: Life) -> bool:
    """Servers of two clusters may share a name; what has no home may be on any of them."""
    return entry.cluster == life.home or (life.home == "" and life.entity["kind"] != "server")


async def _read(wanted: Collection[Look], gatherer: Gatherer) -> dict[Look, list[Connection]]:
    """The rows that come within one request timeout; a server reads one look at a time."""
    rows: dict[Look, list[Connection]] = {}
    turns = {look.server_id: asyncio.Lock() for look in wanted}

    async def one(look: Look) -> None:
        try:
            async with turns[look.server_id]:
                page = await gatherer.pages.rows(look.server_id, _FIELDS, **look.options())
        except Exception as problem:  # A finding without the names of its clients is still true.
            log.debug("no evidence from %s: %s", look.server_id, problem or type(problem).__name__)
        else:
            rows[look] = page.connections

    with suppress(TimeoutError):
        async with asyncio.timeout(gatherer.asker.timeout):
            await each(one, wanted)
    return rows
