"""The nouns: what a check can be about; a figure that was not gathered raises Missing."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from nats_insights.errors import Missing
from nats_insights.model.fold import Fold, by_user, local_subscriptions
from nats_insights.model.ledger import Part
from nats_insights.model.roster import Entry, Names
from nats_insights.model.sweeps import Mark, Swept
from nats_insights.replies import wire

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot

T = TypeVar("T")

# Whose replies must all be in before silence about a noun means that it is fine. Of members of the
# roster even silence is known, but only while the agent itself is not cut off.
NOBODY, ROLL_CALL, ITS_SERVER, ITS_CLUSTER, ALL_SERVERS = (
    "nobody",
    "roll call",
    "server",
    "cluster",
    "system",
)


class Noun:
    """Something a check can be about: stable names, labels for overrides, a memory for sums."""

    __slots__ = ("_memo", "names", "snapshot")
    kind: ClassVar[str]
    labelled: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[str]
    depends_on: ClassVar[str]
    # What is said of a finding whose entity is no more, with the members of the entity.
    when_gone: ClassVar[str] = "{kind} {name} is gone"
    # The folds whose missing parts `at_most` fills in.
    filled: ClassVar[tuple[Fold, ...]] = ()
    names: tuple[str, ...]
    snapshot: Snapshot
    _memo: dict[Any, Any]

    @property
    def home(self) -> str:
        """The name of the cluster that it lives in, "" when it lives in none."""
        return ""

    @property
    def rests_on(self) -> Names:
        """The (cluster, name) of the server that it is part of, () when it is of no single one."""
        return ()

    def labels(self) -> dict[str, str]:
        """What overrides match on, and what fills the names into a remediation.

        Its keys are those of `labelled`.
        """
        return {}

    def entity(self) -> dict[str, str]:
        """How an advisory names it: kind, id and name, and the labels that it has."""
        labels = {label: name for label, name in self.labels().items() if name}
        return {"kind": self.kind, "id": self.names[0], "name": self.names[-1], **labels}

    def memo(self, figure: Callable[[Any], T]) -> T:
        """`figure(self)`, computed once per epoch; a Missing is remembered like a value."""
        try:
            memory = self._memo
        except AttributeError:
            memory = self._memo = {}
        if figure not in memory:
            try:
                memory[figure] = figure(self)
            except Missing as missing:
                memory[figure] = missing
        value = memory[figure]
        if isinstance(value, Missing):
            raise value.with_traceback(None)
        return value  # type: ignore[no-any-return]

    def at_most(self) -> Noun | None:
        """Itself with each missing part at its last known figure; None where nothing is known."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.names)})"


class Server(Noun):
    """One nats-server. Replies are `varz`, `statsz`, `subsz`, `routez`, `leafz`, `accountz`."""

    __slots__ = (
        "accounts",
        "accountz",
        "cluster",
        "connections",
        "id",
        "leafz",
        "name",
        "own_connections",
        "routez",
        "settled",
        "statsz",
        "subsz",
        "varz",
        "version",
    )
    kind, scope, depends_on = "server", "SERVER", ITS_SERVER
    labelled = ("cluster", "server")
    REPLY_OF: ClassVar[dict[str, str]] = {
        "varz": "VARZ",
        "statsz": "STATSZ",
        "subsz": "SUBSZ",
        "routez": "ROUTEZ",
        "leafz": "LEAFZ",
        "accountz": "ACCOUNTZ",
        "accounts": "STATZ",
        "connections": "STATZ",
        "settled": "VARZ",
        "version": "VARZ",
    }
    varz: wire.Varz
    statsz: wire.Statsz
    subsz: wire.Subsz
    routez: wire.Routez
    leafz: wire.Leafz
    accountz: wire.Accountz
    accounts: dict[str, int]
    connections: int
    settled: float
    version: str

    def __init__(self, name: str, cluster: Cluster | None, snapshot: Snapshot) -> None:
        self.name, self.cluster, self.snapshot = name, cluster, snapshot
        self.names = (cluster.name if cluster else "", name)
        self.id = ""
        self.own_connections = 0

    if not TYPE_CHECKING:  # Else mypy would take any name for a figure.

        def __getattr__(self, name: str) -> Any:
            # Reached only for a slot that stayed empty: the figures that are there cost nothing.
            if name in Server.REPLY_OF:
                raise Missing(Server.REPLY_OF[name], self.name)
            raise AttributeError(name)

    @property
    def home(self) -> str:
        return self.names[0]

    @property
    def rests_on(self) -> Names:
        return self.names

    def labels(self) -> dict[str, str]:
        return {"server": self.name, "cluster": self.home}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.id}

    def folded(self, fold: Fold) -> Part:
        """What a fold remembers of this server's connections."""
        return self.snapshot.part(self, fold)

    @property
    def local_interest(self) -> int:
        """Subscriptions made on this server, some 60 internal ones included.

        The table holds routed interest too; what came over each link is told by ROUTEZ and LEAFZ.
        """
        return max(
            0, self.varz.subscriptions - self.routez.subscriptions - self.leafz.subscriptions
        )

    @property
    def internal_interest(self) -> int:
        """How much of the local interest no client held when it was last swept."""
        interest: int | None = self.last_sweep.figures.get("local_interest")
        if interest is None:
            raise Missing("CONNZ", self.name)
        held = self.snapshot.last_known(self, local_subscriptions)["subscriptions"]
        return max(0, interest - held)

    @property
    def last_sweep(self) -> Swept:
        """Its last sweep, in whatever epoch; Missing before the first."""
        swept = self.snapshot.sweeps.last.get(self.names)
        if swept is None:
            raise Missing("CONNZ", self.name)
        return swept

    @property
    def mark(self) -> Mark:
        """What it says of its connections without naming one."""
        varz = self.varz
        return Mark(
            self.id,
            varz.start,
            varz.config_load_time,
            varz.total_connections,
            varz.connections,
        )

    @property
    def accepted(self) -> int:
        """Connections accepted since its last sweep, and those that were nobody's by then."""
        then, now = self.last_sweep.mark, self.mark
        if (then.id, then.start) != (now.id, now.start):
            return now.connections
        return now.total_connections - then.total_connections + self.last_sweep.unnamed

    def stands(self, fold: Fold) -> bool:
        """Whether what a fold remembers of it is as true as if it were swept now."""
        try:
            swept = self.last_sweep
            if swept.mark != self.mark:
                return False
            if fold.moves_with:
                return bool(swept.figures[fold.moves_with] == getattr(self, fold.moves_with))
        except (Missing, KeyError):
            return False
        # A client that has yet to say who it is will be somebody's, and no counter tells of it.
        return fold.lasting and not swept.unnamed


class Member(Noun):
    """One server as the roster knows it: hung, dead and gone ones included, which reply nothing."""

    __slots__ = ("entry",)
    kind, scope, depends_on = "server", "SERVER", ROLL_CALL
    labelled = ("cluster", "server")

    def __init__(self, entry: Entry, snapshot: Snapshot) -> None:
        self.entry, self.names, self.snapshot = entry, entry.key, snapshot

    @property
    def home(self) -> str:
        return self.entry.cluster

    @property
    def rests_on(self) -> Names:
        return self.names

    @property
    def silent_for(self) -> float:
        """Seconds since it first did not answer, 0 while it does."""
        since = self.entry.silent_since
        return 0.0 if since is None else self.snapshot.now - since

    def labels(self) -> dict[str, str]:
        return {"server": self.entry.name, "cluster": self.entry.cluster}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.entry.id}


class Cluster(Noun):
    """Servers joined by routes, silent ones included."""

    __slots__ = ("name", "servers")
    kind, scope, depends_on = "cluster", "CLUSTER", ITS_CLUSTER
    labelled = ("cluster",)

    def __init__(self, name: str, snapshot: Snapshot) -> None:
        self.name, self.names, self.snapshot = name, (name,), snapshot
        self.servers: list[Server] = []

    @property
    def home(self) -> str:
        return self.name

    def labels(self) -> dict[str, str]:
        return {"cluster": self.name}


class Account(Noun):
    """One account over all servers. `connections` is exact or Missing, `seen` the lower bound."""

    __slots__ = ("name",)
    kind, scope, depends_on = "account", "ACCOUNT", ALL_SERVERS
    labelled = ("account",)
    when_gone = "account {name} has no connections any more"

    def __init__(self, name: str, snapshot: Snapshot) -> None:
        self.name, self.names, self.snapshot = name, (name,), snapshot

    @property
    def seen(self) -> int:
        return self.snapshot.accounts.get(self.name, 0)

    @property
    def connections(self) -> int:
        return self.snapshot.whole("STATZ", self.seen)

    def labels(self) -> dict[str, str]:
        return {"account": self.name}


class AccountInCluster(Noun):
    """One account within one cluster."""

    __slots__ = ("account", "cluster")
    kind, scope, depends_on = "account_in_cluster", "ACCOUNT", ITS_CLUSTER
    labelled = ("account", "cluster")
    when_gone = "account {name} has no connections in {cluster} any more"

    def __init__(self, account: str, cluster: Cluster, snapshot: Snapshot) -> None:
        self.account, self.cluster, self.snapshot = account, cluster, snapshot
        self.names = (account, cluster.name)

    @property
    def home(self) -> str:
        return self.cluster.name

    def labels(self) -> dict[str, str]:
        return {"account": self.account, "cluster": self.cluster.name}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "name": self.account}

    def by_server(self) -> dict[str, int]:
        """Connections on each server of the cluster that has some; Missing if one is unheard."""
        self.cluster.memo(_need_accounts)
        return self._seen

    def most(self) -> dict[str, Any]:
        """The servers that hold most of its connections."""
        return largest(self._seen)

    @property
    def _seen(self) -> dict[str, int]:
        return self.snapshot.accounts_in_clusters.get(self.names, {})


class User(Noun):
    """One (account, user). `connections` is exact or Missing, `seen` the lower bound."""

    __slots__ = ("account", "name", "seen")
    kind, scope, depends_on = "user", "ACCOUNT", ALL_SERVERS
    labelled = ("account", "user")
    when_gone = "user {name} of account {account} has no connections any more"
    filled = (by_user,)

    def __init__(self, account: str, name: str, seen: int, snapshot: Snapshot) -> None:
        self.account, self.name, self.seen, self.snapshot = account, name, seen, snapshot
        self.names = (account, name)

    @property
    def connections(self) -> int:
        return self.snapshot.whole("CONNZ", self.seen)

    def labels(self) -> dict[str, str]:
        return {"account": self.account, "user": self.name}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.name}

    def most(self) -> dict[str, Any]:
        """The servers that hold most of its connections."""
        on: Counter[str] = Counter()  # Servers of two clusters may share a name.
        for server, count in self.snapshot.held_by(by_user, self.names).items():
            on[server[-1]] += count
        return largest(on)

    def at_most(self) -> User | None:
        most = self.snapshot.at_most(by_user, self.names)
        return None if most is None else User(self.account, self.name, most, self.snapshot)


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

    @property
    def accepted(self) -> int:
        """Connections that no sweep has seen yet, at most; Missing if a server does not tell."""
        return sum(server.accepted for server in self.snapshot.servers.values())

    def largest_of(self, fold: Fold) -> int:
        """The largest sum of a fold over all servers, as of their last sweeps, at most."""
        ledger = self.snapshot.sweeps.ledgers[fold]
        return ledger.most() + ledger.error


class Agent(Noun):
    """The agent itself, by its configured id: what its last epochs were like.

    `cut_offs` are the servers that cut it off in the last MEMORY epochs, and `failures` says where
    in the program each of those that failed did so. `late` counts the epochs in a row that took
    longer than the interval, and `took` is the seconds of the last one. `unreachable` names the
    servers by whose silence it takes itself to be cut off, of all that are `known`.
    """

    __slots__ = (
        "cut_offs",
        "failures",
        "interval",
        "known",
        "late",
        "took",
        "unreachable",
        "window",
    )
    kind, scope, depends_on = "agent", "SYSTEM", NOBODY
    MEMORY: ClassVar[int] = 20

    def __init__(self, id: str, snapshot: Snapshot) -> None:
        self.names, self.snapshot = (id,), snapshot
        self.cut_offs: list[str] = []
        self.failures: list[str] = []
        self.unreachable: list[str] = []
        self.late = self.window = self.known = 0
        self.took = self.interval = 0.0


def largest(counts: Mapping[str, int], few: int = 10) -> dict[str, Any]:
    """The `few` largest of some counts, largest first, and how many names were left out."""
    top = heapq.nsmallest(few, counts.items(), key=lambda item: (-item[1], item[0]))
    return {"top": [list(item) for item in top], "left_out": len(counts) - len(top)}


def _need_accounts(cluster: Cluster) -> None:
    """Missing if a server of the cluster, an absent one too, did not tell its accounts."""
    for server in cluster.servers:
        _ = server.accounts
    for home, name in cluster.snapshot.absent:
        if home == cluster.name:
            raise Missing("STATZ", name)


def seconds_between(start: datetime | None, now: datetime | None) -> float:
    """Seconds from `start` to `now`, 0 where either is not told."""
    return (now - start).total_seconds() if start and now else 0.0
