"""Sweeps: what is remembered of the last sweep of each server, and whether it still stands.

A server that accepts a connection raises `total_connections`, and one that closes it lowers
`connections`: while neither moves, it holds the very same connections, and what was counted of
them is true without being asked again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct

from nats_insights.model.fold import Fold, Sweep
from nats_insights.model.ledger import Ledger
from nats_insights.model.roster import Names


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
