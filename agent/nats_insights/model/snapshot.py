"""The system at one epoch: its nouns, with what is lacking known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from nats_insights.errors import Missing
from nats_insights.facts import Coverage
from nats_insights.model.fold import Fold, Sweep, by_user
from nats_insights.model.ledger import Ledger, Part
from nats_insights.model.nouns import (
    ALL_SERVERS,
    ITS_CLUSTER,
    ITS_SERVER,
    Account,
    AccountInCluster,
    Agent,
    Cluster,
    Member,
    Noun,
    Server,
    System,
    User,
)
from nats_insights.model.roster import Entry, Names
from nats_insights.model.sweeps import Sweeps, Swept

T = TypeVar("T")
_TOO_MANY_ACCOUNTS = "STATZ in full: there are more accounts than the agent counts"


class Snapshot:
    """The nouns of one epoch.

    `lacking` maps an endpoint to the servers that owe it; `absent` are those that owe everything
    and are no members of their clusters any more. `ruled_out` maps the code of a check to the
    clusters in which the small replies alone show that it can find nothing, "" being the system.
    `denied` are endpoints that the agent may not ask, `accepted` those where that is on purpose.
    `torn` says that so much time went by while it was gathered that what moved from one server to
    another may be counted on both. `blind` says why nothing can be known of the system in this
    epoch, "" where something can; `forgotten` are servers that somebody took out of the roster.
    """

    def __init__(self, epoch: int, now: float, sweeps: Sweeps | None = None) -> None:
        self.epoch, self.now = epoch, now
        self.sweeps = sweeps or Sweeps()
        self.servers: dict[Names, Server] = {}
        self.clusters: dict[str, Cluster] = {}
        # By account, and by account and cluster: nouns of these are made when they are asked for,
        # since there may be a hundred thousand of them.
        self.accounts: dict[str, int] = {}
        self.accounts_in_clusters: dict[Names, dict[str, int]] = {}
        self.system = System(self)
        self.agent = Agent("", self)
        self.coverage = Coverage(servers_known=0, servers_answered=0, missing=[])
        self.not_due: set[str] = set()
        self.denied: set[str] = set()
        self.accepted: frozenset[str] = frozenset()
        self.torn = False
        self.blind = ""
        self.absent: set[Names] = set()
        self.forgotten: Collection[Names] = ()
        self.members: list[Entry] = []
        self.lacking: dict[str, set[Names]] = defaultdict(set)
        self.ruled_out: dict[str, set[str]] = {}
        self.dropped_accounts = 0
        self.changed_at: dict[str, float] = {}
        self._owing: dict[str, str] = {}
        self._tables: dict[type[Noun], Callable[[], Iterable[Noun]]] = {
            Server: self.servers.values,
            Member: lambda: (Member(entry, self) for entry in self.members),
            Cluster: self.clusters.values,
            Account: self._accounts,
            AccountInCluster: self._accounts_in_clusters,
            User: self._users,
            System: lambda: [self.system],
            Agent: lambda: [self.agent],
        }

    def clear(self) -> None:
        """Drop the nouns, which hold each other: the next snapshot needs the room."""
        for cluster in self.clusters.values():
            cluster.servers.clear()
        self.servers.clear()
        self.clusters.clear()

    def each(self, kind: type[Noun]) -> Iterable[Noun]:
        """Every noun of one kind."""
        return self._tables[kind]()

    def whole(self, endpoint: str, figure: T) -> T:
        """A sum over all servers: itself, or Missing where one of them owes its part."""
        if self.lacking.get(endpoint):
            raise Missing(endpoint, self._one_that_owes(endpoint))
        return figure

    def part(self, server: Server, fold: Fold) -> Part:
        """What a fold remembers of one server; Missing where that is not known to be true now."""
        if server.names in self.lacking[fold.endpoint]:
            raise Missing(fold.endpoint, server.name)
        return self.last_known(server, fold)

    def last_known(self, server: Server, fold: Fold) -> Part:
        """What it remembered when the server was last swept; Missing before the first time."""
        ledger = self.sweeps.ledgers.get(fold)
        part = None if ledger is None else ledger.part(server.names)
        if part is None:
            raise Missing(fold.endpoint, server.name)
        return part

    def held_by(self, fold: Fold, key: Any) -> dict[Names, int]:
        """How many of a key each server holds that has some, as far as that is known."""
        ledger, late = self.sweeps.ledgers.get(fold, Ledger()), self.lacking[fold.endpoint]
        return {names: n for names, n in ledger.held_by(key).items() if names not in late}

    def take(self, names: Names, sweep: Sweep) -> None:
        """A finished sweep of a server, which then owes CONNZ no more."""
        server, figures = self.servers[names], {}
        for fold in sweep.parts:
            if fold.moves_with:
                with suppress(Missing):
                    figures[fold.moves_with] = getattr(server, fold.moves_with)
        swept = Swept(at=self.now, mark=server.mark, unnamed=sweep.unnamed, figures=figures)
        self.sweeps.take(names, swept, sweep)
        self.lacking["CONNZ"].discard(names)

    def seen(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, with what has come: at least this."""
        ledger = self.sweeps.ledgers.get(fold, Ledger())
        seen = Counter(dict(ledger.items()))
        seen.subtract(self._owed(fold))
        return seen

    def folded(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, exact or Missing."""
        return self.whole(fold.endpoint, self.seen(fold))

    def at_most(self, fold: Fold, key: Any) -> int | None:
        """A sum with what the servers that owe it held last; None if one was never swept."""
        ledger = self.sweeps.ledgers[fold]
        if any(ledger.part(server) is None for server in self.lacking[fold.endpoint]):
            return None
        return ledger[key] + ledger.error

    def owed(self, endpoints: Iterable[str]) -> str:
        """One reply of these endpoints that did not come, "" when all did."""
        for endpoint in endpoints:
            if self.lacking.get(endpoint):
                return f"{endpoint} of {self._one_that_owes(endpoint)}"
            if endpoint == "STATZ" and self.dropped_accounts:
                return _TOO_MANY_ACCOUNTS
            if endpoint == "CONNZ" and self.sweeps.dropped:
                return "CONNZ in full: there are more names than the agent counts"
        return ""

    def lacks(self, subject: Noun, endpoints: Iterable[str]) -> str:
        """Why silence about this noun would prove nothing; "" when it would."""
        return self.lacks_for(
            type(subject), subject.names, subject.home, subject.rests_on, endpoints
        )

    def lacks_for(
        self, kind: type[Noun], names: Names, home: str, rests_on: Names, endpoints: Iterable[str]
    ) -> str:
        """The same for a noun that may have vanished from this snapshot."""
        beyond = kind is AccountInCluster and names not in self.accounts_in_clusters
        if beyond and self.dropped_accounts:
            return _TOO_MANY_ACCOUNTS
        if kind.depends_on == ALL_SERVERS:
            return self.owed(endpoints)
        for endpoint in endpoints:
            late = self.lacking.get(endpoint)
            if not late:
                continue
            if kind.depends_on == ITS_SERVER and rests_on in late:
                return f"{endpoint} of {rests_on[-1]}"
            if kind.depends_on == ITS_CLUSTER and (hit := late & self._members(home)):
                return f"{endpoint} of {min(hit)[-1]}"
        return ""

    def _members(self, home: str) -> set[Names]:
        """The servers of a cluster, absent ones included."""
        absent = {names for names in self.absent if names[0] == home}
        cluster = self.clusters.get(home)
        return absent if cluster is None else absent | {one.names for one in cluster.servers}

    def settling(self, subject: Noun, settle: float) -> bool:
        """Whether a server of its cluster started, left or went lame duck `settle` seconds ago."""
        home = self.clusters.get(subject.home)
        if home is None or settle <= 0:
            return False
        changed = self.now - self.changed_at.get(home.name, float("-inf"))
        return min(changed, home.memo(_youngest)) < settle

    def _one_that_owes(self, endpoint: str) -> str:
        # Found once, not for each of a million users that would name it.
        if endpoint not in self._owing:
            self._owing[endpoint] = min(self.lacking[endpoint])[-1]
        return self._owing[endpoint]

    def _accounts(self) -> Iterable[Account]:
        return (Account(name, self) for name in self.accounts)

    def _accounts_in_clusters(self) -> Iterable[AccountInCluster]:
        for account, cluster in self.accounts_in_clusters:
            yield AccountInCluster(account, self.clusters[cluster], self)

    def _users(self) -> Iterable[User]:
        ledger = self.sweeps.ledgers.get(by_user)
        owed = self._owed(by_user)
        for (account, name), count in () if ledger is None else ledger.items():
            yield User(account, name, count - owed[account, name], self)

    def _owed(self, fold: Fold) -> Counter[Any]:
        """What the servers that owe it held last."""
        owed: Counter[Any] = Counter()
        ledger = self.sweeps.ledgers.get(fold)
        for server in self.lacking[fold.endpoint]:
            if ledger is not None and (part := ledger.part(server)) is not None:
                owed.update(dict(part.items()))
        return owed


def _youngest(cluster: Cluster) -> float:
    return min((server.settled for server in cluster.servers), default=0.0)
