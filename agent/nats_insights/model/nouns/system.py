"""The whole system."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nats_insights.model import sweeps
from nats_insights.model.fold import Fold
from nats_insights.model.nouns.noun import ALL_SERVERS, Noun

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class System(Noun):
    """All servers that the system account reaches.

    `expected` is how many there should be, 0 where nobody said so; `never_seen` counts those of
    them that are not known, and `names_never_seen` are their names, where these were given.
    """

    __slots__ = ("expected", "names_never_seen", "never_seen")
    kind, scope, depends_on = "system", "SYSTEM", ALL_SERVERS

    def __init__(self, snapshot: Snapshot) -> None:
        self.names, self.snapshot = ("system",), snapshot
        self.expected = self.never_seen = 0
        self.names_never_seen: list[str] = []

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[System]:
        return [snapshot.system]

    @property
    def accepted(self) -> int:
        """Connections that no sweep has seen yet, at most; Missing if a server does not tell."""
        return sum(sweeps.accepted(server) for server in self.snapshot.servers.values())

    def largest_of(self, fold: Fold) -> int:
        """The largest sum of a fold over all servers, as of their last sweeps, at most."""
        ledger = self.snapshot.sweeps.ledgers[fold]
        return ledger.most() + ledger.error
