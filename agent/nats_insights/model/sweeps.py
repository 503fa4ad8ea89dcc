"""Sweeps: the last read of each server's connections, and whether its counts are still valid.

To read all connections of a server is expensive for it and for the agent. It is also rarely needed.
A server that accepts a connection raises `total_connections` in its VARZ, and one that closes it
lowers `connections`: while neither changes, it has the same connections, and their counts are valid
without another read.

    sweep     one read of all connections of one server, page by page
    fold      what is counted of them, such as connections by user; the rows are then dropped
    ledger    the counts of one fold, by server, with their sums over all servers
    mark      what VARZ reported of the connections when they were swept
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
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
    """The figures of a server's VARZ that change when its connections change."""

    id: str
    start: datetime | None
    config_load_time: str
    total_connections: int
    connections: int


class Swept(Struct, frozen=True, kw_only=True, gc=False):
    """When a server was last swept, in Unix seconds, and its `mark` just before.

    `figures` holds the `moves_with` figures of folds, `unnamed` counts clients without a user name.
    """

    at: float
    mark: Mark
    unnamed: int
    figures: dict[str, Any]


class Sweeps:
    """The last sweep of each server, and for each fold a ledger of the counts."""

    def __init__(self, folds: Iterable[Fold] = ()) -> None:
        self.last: dict[Names, Swept] = {}
        # The mark of each server when it was last read in a survey.
        self.surveyed: dict[Names, Mark] = {}
        self.ledgers = {fold: Ledger() for fold in folds}

    def keep(self, folds: Iterable[Fold]) -> None:
        """Drop the counts of all other folds."""
        self.ledgers = {fold: self.ledgers[fold] for fold in folds}

    def begin(self, members: Collection[Names]) -> None:
        """Begin an epoch: drop servers that are not `members`; after an overflow, drop all."""
        for server in self.last.keys() - members:
            del self.last[server]
            self.surveyed.pop(server, None)
            for ledger in self.ledgers.values():
                ledger.drop(server)
        if self._renew(slow=False):
            self.last = {}
        if self._renew(slow=True):
            self.surveyed = {}

    def _renew(self, *, slow: bool) -> bool:
        """Begin all slow ledgers anew, or all others, if one of them overflowed."""
        folds = [fold for fold in self.ledgers if fold.slow is slow]
        overflowed = any(self.ledgers[fold].overflowed for fold in folds)
        if overflowed:
            self.ledgers |= {fold: Ledger() for fold in folds}
        return overflowed

    def take(self, server: Names, swept: Swept, sweep: Sweep) -> Generator[None, None, None]:
        """Record a finished sweep, when all its counts are there."""
        for fold, tally in sweep.parts.items():
            yield from self.ledgers[fold].putting(server, tally)
        self.last[server] = swept
        if any(fold.slow for fold in sweep.parts):
            self.surveyed[server] = swept.mark

    def oldest(self, now: float) -> float:
        """Seconds since the oldest sweep."""
        return now - min((swept.at for swept in self.last.values()), default=now)

    @property
    def dropped(self) -> int:
        """How many keys the ledgers dropped."""
        return sum(ledger.dropped for ledger in self.ledgers.values())


def mark(server: Server) -> Mark:
    """The present mark of a server; Missing if it did not reply."""
    varz = server.varz
    return Mark(
        server.id,
        varz.start,
        varz.config_load_time,
        varz.total_connections,
        varz.connections,
    )


def accepted(server: Server) -> int:
    """Connections accepted since its last sweep, plus those without a user name in that sweep.

    Missing if it was never swept, or did not reply.
    """
    swept = server.snapshot.last_sweep(server)
    then, now = swept.mark, mark(server)
    if (then.id, then.start) != (now.id, now.start):
        return now.connections
    return now.total_connections - then.total_connections + swept.unnamed


def stands(server: Server, fold: Fold) -> bool:
    """Whether the counts of a fold are the same as if it were swept now."""
    try:
        swept = server.snapshot.last_sweep(server)
        if fold.slow and not fold.lasting:
            return False
        then = server.snapshot.sweeps.surveyed[server.names] if fold.slow else swept.mark
        if then != mark(server):
            return False
        if fold.moves_with:
            return bool(swept.figures[fold.moves_with] == getattr(server, fold.moves_with))
    except (Missing, KeyError):
        return False
    # A client that has not authenticated yet will have a user, and no counter reports that.
    return not swept.unnamed
