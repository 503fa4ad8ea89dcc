"""Evidence: which clients make a finding up, from a bounded look at their connection rows."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from typing import Any

import nats.errors
from msgspec.structs import replace

from .fold import row_fields
from .gather import Gatherer
from .lifecycle import Life
from .nouns import largest
from .roster import Entry, Roster
from .wire import Connection, Malformed

log = logging.getLogger(__name__)

# Looks per epoch, and servers per finding: a thousand findings must not become a thousand scans.
MOST_FINDINGS = 20
MOST_SERVERS = 3
_FIELDS = [*row_fields(()), "subscriptions", "name", "ip", "lang"]


async def name_clients(
    life: Life, by: str, gatherer: Gatherer, roster: Roster, system_accounts: Collection[str]
) -> Life:
    """The finding with the client names, addresses and languages that make most of it up.

    `by` is what is counted, connections or subscriptions. Up to 1,024 rows of each of three
    servers are read; `sampled` says how many were.
    """
    account, user = life.entity.get("account"), life.entity.get("user")
    asked = {key: value for key, value in (("acc", account), ("user", user)) if value}
    if by == "subscriptions":
        asked["sort"] = "subs"
    rows: list[Connection] = []
    for entry in _servers_of(life, roster):
        try:
            page = await gatherer.pages.rows(entry.id, _FIELDS, **asked)
        except (Malformed, nats.errors.Error) as problem:
            log.debug("no evidence from %s: %s", entry.name, problem)
            continue
        rows += [r for r in page.connections if r.kind == "Client"]
    rows = [row for row in rows if row.account not in system_accounts]
    return replace(life, clients=_ranked(rows, by)) if rows else life


async def why_closed(gatherer: Gatherer, server_id: str, connection: int) -> str:
    """The reason that a server remembers for having closed a connection, "" if it has none."""
    closed = 1  # By number: as a word servers refuse it.
    try:
        page = await gatherer.pages.rows(server_id, ["cid", "reason"], state=closed, cid=connection)
    except (Malformed, nats.errors.Error):
        return ""
    return next((row.reason for row in page.connections if row.cid == connection), "")


def _servers_of(life: Life, roster: Roster) -> list[Entry]:
    names = life.servers[:MOST_SERVERS]
    return [e for e in roster if e.name in names and life.home in ("", e.cluster)][:MOST_SERVERS]


def _ranked(rows: list[Connection], by: str) -> dict[str, Any]:
    ranked: dict[str, Any] = {"by": by, "sampled": len(rows)}
    for title, field in (("names", "name"), ("addresses", "ip"), ("languages", "lang")):
        counts: Counter[str] = Counter()
        for row in rows:
            counts[getattr(row, field)] += row.subscriptions if by == "subscriptions" else 1
        ranked[title] = largest(counts)
    return ranked
