"""Sweeps: the last read of each server's connections, and whether what it counted is still true.

To read all connections of a server is expensive for it and for the agent. It is also rarely needed.
A server that accepts a connection raises `total_connections` in its VARZ, and one that closes it
lowers `connections`: while neither moves, it holds the very same connections, and what was counted
of them is true without being read again.

    sweep     one read of all connections of one server, page by page
    fold      what is counted of them, such as connections by user; the rows are then dropped
    ledger    the counts of one fold, by server, with their sums over all servers
    mark      what VARZ said of the connections when they were swept
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model.fold import Fold, Sweep
from nats_insights.model.ledger import Ledger

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server


class Mark(Struct, frozen=True, gc=False):
    """What a server's VARZ says of its connections without naming one."""

    id: str
    start: datetime | None
    config_load_time: str
    total_connections: int
    connections: int


class Swept(Struct, frozen=True, kw_only=True, gc=False):
    """When a server was last swept, in Unix seconds, and what it said of itself just before.

    `figures` holds what folds move with, `unnamed` counts the clients that no user name belongs to.
    """

    at: float
    mark: Mark
    unnamed: int
    figures: dict[str, Any]


class Sweeps:
    """The last sweep of each server, and for each fold a ledger of what they hold."""

    def __init__(self, folds: Iterable[Fold] = ()) -> None:
        self.last: dict[Names, Swept] = {}
        self.ledgers = {fold: Ledger() for fold in folds}

    def begin(self, members: Collection[Names]) -> None:
        """A new epoch: who is no member any more holds nothing, and what overflowed begins anew."""
        for server in self.last.keys() - members:
            del self.last[server]
            for ledger in self.ledgers.values():
                ledger.drop(server)
        if any(ledger.overflowed for ledger in self.ledgers.values()):
            self.last = {}
            self.ledgers = {fold: Ledger() for fold in self.ledgers}

    def take(self, server: Names, swept: Swept, sweep: Sweep) -> None:
        """A finished sweep."""
        self.last[server] = swept
        for fold, tally in sweep.parts.items():
            self.ledgers[fold].put(server, tally)

    def oldest(self, now: float) -> float:
        """Seconds since the sweep that is the longest ago."""
        return now - min((swept.at for swept in self.last.values()), default=now)

    @property
    def dropped(self) -> int:
        """Keys that no ledger had room for."""
        return sum(ledger.dropped for ledger in self.ledgers.values())


def mark(server: Server) -> Mark:
    """What a server says of its connections now; Missing if it did not reply."""
    varz = server.varz
    return Mark(
        server.id,
        varz.start,
        varz.config_load_time,
        varz.total_connections,
        varz.connections,
    )


def accepted(server: Server) -> int:
    """Connections accepted since its last sweep, and those that had no user name by then.

    Missing if it was never swept, or did not reply.
    """
    swept = server.snapshot.last_sweep(server)
    then, now = swept.mark, mark(server)
    if (then.id, then.start) != (now.id, now.start):
        return now.connections
    return now.total_connections - then.total_connections + swept.unnamed


def stands(server: Server, fold: Fold) -> bool:
    """Whether what a fold counted of it is as true as if it were swept now."""
    try:
        swept = server.snapshot.last_sweep(server)
        if swept.mark != mark(server):
            return False
        if fold.moves_with:
            return bool(swept.figures[fold.moves_with] == getattr(server, fold.moves_with))
    except (Missing, KeyError):
        return False
    # A client that has yet to say who it is will be somebody's, and no counter tells of it.
    return not swept.unnamed
