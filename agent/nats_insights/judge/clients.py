"""Which connection rows to read so that a finding names its clients, and their ranking."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct

from nats_insights.judge.audit import Key
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.model.fold import row_fields
from nats_insights.model.nouns.noun import largest
from nats_insights.model.roster import Entry, Roster
from nats_insights.replies.connz import SORTS, Connection

# Findings per epoch, and servers per finding: each look makes a server scan all its connections.
MOST_FINDINGS = 20
MOST_SERVERS = 3
FIELDS = [*row_fields(()), "name", "ip", "lang", *SORTS]

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


def looks(
    told: Iterable[Told], checks: Mapping[str, Check], roster: Roster
) -> dict[Key, list[Look]]:
    """Which rows to read for each finding, of servers that answered all requests of this epoch.

    Not for resolved or stale findings. Findings without named clients come first.
    """
    deserving = (
        item.life
        for item in told
        if item.transition != "resolved"
        and not item.life.stale
        and checks[item.life.key.code].clients
    )
    chosen = heapq.nsmallest(MOST_FINDINGS, deserving, key=lambda life: bool(life.clients))
    answering: dict[str, list[Entry]] = {}
    for entry in roster:
        if entry.state == "answering" and not entry.last_error:
            answering.setdefault(entry.name, []).append(entry)
    wanted = {}
    for life in chosen:
        account, user = life.entity.get("account", ""), life.entity.get("user", "")
        sort = SORTS.get(checks[life.key.code].clients, "")
        servers = [
            entry
            for name in life.servers
            for entry in answering.get(name, ())
            if _may_hold(entry, life)
        ]
        wanted[life.key] = [Look(e.id, account, user, sort) for e in servers[:MOST_SERVERS]]
    return wanted


def ranked(rows: Collection[Connection], by: str) -> Clients:
    """The names, addresses and languages that hold most of `by`: connections, or a figure of each.

    `sampled` is the number of rows that this rests on.
    """
    clients: Clients = {"by": by, "sampled": len(rows)}
    for title, field in (("names", "name"), ("addresses", "ip"), ("languages", "lang")):
        counts: Counter[str] = Counter()
        for row in rows:
            counts[getattr(row, field)] += getattr(row, by) if by in SORTS else 1
        clients[title] = largest(counts)
    return clients


def _may_hold(entry: Entry, life: Life) -> bool:
    """Servers of two clusters may share a name; a finding without a home may be on any of them."""
    return entry.cluster == life.home or (life.home == "" and life.entity["kind"] != "server")
