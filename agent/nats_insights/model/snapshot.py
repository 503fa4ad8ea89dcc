"""The system at one epoch: its nouns, and which replies are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from nats_insights.errors import Missing
from nats_insights.facts import Coverage, Names
from nats_insights.model import sweeps
from nats_insights.model.fold import Fold, Sweep
from nats_insights.model.history import History
from nats_insights.model.jwt_names import JwtNames
from nats_insights.model.lacking import Lacking
from nats_insights.model.ledger import Ledger, Part
from nats_insights.model.loaded import Loaded
from nats_insights.model.nouns.agent import Agent
from nats_insights.model.nouns.cluster import Cluster
from nats_insights.model.nouns.noun import Noun
from nats_insights.model.nouns.server import Server
from nats_insights.model.nouns.system import System
from nats_insights.model.roster import Entry
from nats_insights.model.services import Services
from nats_insights.model.shards import Shards
from nats_insights.model.streams import Rows
from nats_insights.model.sweeps import Sweeps, Swept

if TYPE_CHECKING:
    from nats_insights.model.worst import Worst
    from nats_insights.replies.connz import Row

N = TypeVar("N", bound=Noun)


class Snapshot:
    """The nouns of one epoch, and in `lacking` which replies are missing.

    `torn` says that it took so long to gather that a connection that moved from one server to
    another may be counted on both. All VARZ came within `roll_call_took` seconds from `now` on.
    `forgotten` are servers that were removed from the roster by hand.
    """

    def __init__(self, now: float, known: Sweeps | None = None) -> None:
        self.now = now
        self.sweeps = known or Sweeps()
        self.lacking = Lacking(self._servers_of)
        self.servers: dict[Names, Server] = {}
        self.clusters: dict[str, Cluster] = {}
        # By account, and by account and cluster: their nouns are created on request, since there
        # may be a hundred thousand of them.
        self.accounts: dict[str, int] = {}
        self.system_accounts: frozenset[str] = frozenset()
        self.accounts_in_clusters: dict[Names, dict[str, int]] = {}
        # The same for streams: by account, name and place, what each server reported of it.
        self.streams: dict[Names, Rows] = {}
        self.worst: dict[Worst, list[Row]] = {}
        self.members: list[Entry] = []
        self.system = System(self)
        self.agent = Agent("", self)
        self.coverage = Coverage(servers_known=0, servers_answered=0, missing=[])
        self.torn = False
        self.roll_call_took = 0.0
        self.forgotten: Collection[Names] = ()
        self.changed_at: dict[str, float] = {}
        self.history = History()
        self.services = Services()
        self.jwt_names = JwtNames()
        self.loaded = Loaded()
        self.shards = Shards()
        self._unread_of: dict[Fold, tuple[int, int | None]] = {}

    def clear(self) -> None:
        """Drop the nouns, which refer to each other, to free memory for the next replies."""
        for cluster in self.clusters.values():
            cluster.servers.clear()
        self.servers.clear()
        self.clusters.clear()
        self.streams.clear()

    def each(self, kind: type[N]) -> Iterable[N]:
        """Every noun of one kind."""
        return kind.all(self)  # type: ignore[return-value]

    def lacks(self, subject: Noun, endpoints: Iterable[str]) -> str:
        """Why the absence of a finding about this noun proves nothing; "" if it proves it."""
        return self.lacks_for(
            type(subject), subject.names, subject.home, subject.rests_on, endpoints
        )

    def lacks_for(
        self, kind: type[Noun], names: Names, home: str, rests_on: Names, endpoints: Iterable[str]
    ) -> str:
        """The same for a noun that may not be in this snapshot."""
        lacking = self.lacking
        unseen = kind.unseen(self, names) or lacking.of(kind, home, rests_on, endpoints)
        return unseen or lacking.more(endpoints)

    def settling(self, subject: Noun, settle: float) -> bool:
        """Whether a server of its cluster started, left or went lame duck `settle` seconds ago."""
        home = self.clusters.get(subject.home)
        if home is None or settle <= 0:
            return False
        changed = self.now - self.changed_at.get(home.name, float("-inf"))
        return min(changed, home.memo(_youngest)) < settle

    # Counts of connections.

    def take(self, names: Names, sweep: Sweep) -> Generator[None, None, None]:
        """Record a finished sweep of a server, whose CONNZ is then no longer missing."""
        server, figures = self.servers[names], {}
        for fold in sweep.parts:
            if fold.moves_with:
                with suppress(Missing):
                    figures[fold.moves_with] = getattr(server, fold.moves_with)
        mark = sweeps.mark(server)
        swept = Swept(at=self.now, mark=mark, unnamed=sweep.unnamed, figures=figures)
        yield from self.sweeps.take(names, swept, sweep)
        for endpoint in {fold.endpoint for fold in sweep.parts}:
            self.lacking.came(endpoint, names)

    def last_sweep(self, server: Server) -> Swept:
        """Its last sweep, in any epoch; Missing before the first."""
        swept = self.sweeps.last.get(server.names)
        if swept is None:
            raise Missing("CONNZ", server.name)
        return swept

    def last_known(self, server: Server, fold: Fold) -> Part:
        """The counts of a fold when the server was last swept; Missing before the first sweep."""
        ledger = self.sweeps.ledgers.get(fold)
        part = None if ledger is None else ledger.part(server.names)
        if part is None:
            raise Missing(fold.endpoint, server.name)
        return part

    def part(self, server: Server, fold: Fold) -> Part:
        """The same; Missing if they may have changed since."""
        if server.names in self.lacking.owed[fold.endpoint]:
            raise Missing(fold.endpoint, server.name)
        return self.last_known(server, fold)

    def held_by(self, fold: Fold, key: Any) -> dict[Names, int]:
        """The count of a key on each server that has any, of the servers whose counts are valid."""
        ledger, late = self.sweeps.ledgers.get(fold, Ledger()), self.lacking.owed[fold.endpoint]
        return {names: n for names, n in ledger.held_by(key).items() if names not in late}

    def seen(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, without missing parts: a lower bound."""
        ledger = self.sweeps.ledgers.get(fold, Ledger())
        seen = Counter(dict(ledger.items()))
        seen.subtract(self.owed_parts(fold))
        return seen

    def folded(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, exact or Missing."""
        return self.lacking.whole(fold.endpoint, self.seen(fold))

    def at_most(self, fold: Fold, key: Any) -> int | None:
        """A sum with the last counts for missing parts; None if such a server was never swept.

        Whatever a server has accepted since then counts too, if it says how much that is.
        """
        ledger, more = self.sweeps.ledgers[fold], self._unread(fold)
        return None if more is None else ledger[key] + ledger.error + more

    def _unread(self, fold: Fold) -> int | None:
        """What these servers have accepted, summed up once for all keys."""
        owed = self.lacking.owed[fold.endpoint]
        many, more = self._unread_of.get(fold, (-1, None))
        if many != len(owed):
            ledger = self.sweeps.ledgers[fold]
            there = [self.servers[server] for server in owed & self.servers.keys()]
            swept = all(ledger.part(server) is not None for server in owed)
            more = sum(map(_accepted, there)) if swept else None
            self._unread_of[fold] = len(owed), more
        return more

    def owed_parts(self, fold: Fold) -> Counter[Any]:
        """The last counts of the servers whose CONNZ is missing."""
        owed: Counter[Any] = Counter()
        ledger = self.sweeps.ledgers.get(fold)
        for server in self.lacking.owed[fold.endpoint]:
            if ledger is not None and (part := ledger.part(server)) is not None:
                owed.update(dict(part.items()))
        return owed

    def _servers_of(self, cluster: str) -> set[Names]:
        home = self.clusters.get(cluster)
        return set() if home is None else {server.names for server in home.servers}


def _accepted(server: Server) -> int:
    """Connections that it has accepted since its last sweep, 0 if it does not reply."""
    with suppress(Missing):
        return sweeps.accepted(server)
    return 0


def _youngest(cluster: Cluster) -> float:
    return min((server.settled for server in cluster.servers), default=0.0)
