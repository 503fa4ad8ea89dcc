"""The whole system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model import sweeps
from nats_insights.model.fold import Fold
from nats_insights.model.nouns.noun import ALL_SERVERS, Noun
from nats_insights.replies.statz import STATZ

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server
    from nats_insights.model.snapshot import Snapshot


class System(Noun):
    """All servers that the system account reaches.

    `expected` is how many there should be, 0 if that is not configured; `never_seen` counts those
    of them that are not known, and `names_never_seen` are their names if these are configured.
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
        """Connections not in any sweep yet, at most; Missing if a server does not report them."""
        return sum(sweeps.accepted(server) for server in self.snapshot.servers.values())

    def namesakes(self, within: float) -> dict[Names, list[Server]]:
        """The servers of each (cluster, name) that several use.

        Both reply at once, or they took turns within so many seconds, in which case there is one
        Server for both.
        """
        by_name: dict[Names, list[Server]] = defaultdict(list)
        turns = set()
        for server in self.snapshot.servers.values():
            with suppress(Missing):
                key = (server.info.cluster, server.info.name)
                by_name[key].append(server)
                if (ago := server.shared_ago) is not None and ago <= within:
                    turns.add(key)
        return {
            key: servers for key, servers in by_name.items() if len(servers) > 1 or key in turns
        }

    def no_account_exceeds(self, figure: float) -> bool:
        """Whether each server reported its accounts, and none exceeds `figure` connections."""
        snapshot, lacking = self.snapshot, self.snapshot.lacking
        if lacking.absent or lacking.dropped_accounts:
            return False
        told = all(STATZ.key in server.replies for server in snapshot.servers.values())
        return told and max(snapshot.accounts.values(), default=0) <= figure

    def largest_of(self, fold: Fold) -> int:
        """The largest sum of a fold over all servers, by their last sweeps, at most."""
        ledger = self.snapshot.sweeps.ledgers[fold]
        return ledger.most() + ledger.error
