"""The nouns: what a check can be about; a figure that was not gathered raises Missing."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from . import wire
from .errors import Missing
from .fold import Fold, Tally, by_user

if TYPE_CHECKING:
    from .snapshot import Snapshot

T = TypeVar("T")

# Whose replies must all be in before silence about a noun means that it is fine.
ITS_SERVER, ITS_CLUSTER, ALL_SERVERS = "server", "cluster", "system"


class Noun:
    """Something a check can be about: stable names, labels for overrides, a memory for sums."""

    __slots__ = ("_memo", "names", "snapshot")
    kind: ClassVar[str]
    labelled: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[str]
    depends_on: ClassVar[str]
    names: tuple[str, ...]
    snapshot: Snapshot
    _memo: dict[Any, Any]

    @property
    def home(self) -> str:
        """The name of the cluster that it lives in, "" when it lives in none."""
        return ""

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
        "folds",
        "id",
        "leafz",
        "name",
        "own_connections",
        "routez",
        "settled",
        "state",
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
    }
    varz: wire.Varz
    statsz: wire.Statsz
    subsz: wire.Subsz
    routez: wire.Routez
    leafz: wire.Leafz
    accountz: wire.Accountz
    accounts: dict[str, wire.AccountStat]
    connections: int
    settled: float

    def __init__(self, name: str, cluster: Cluster | None, snapshot: Snapshot) -> None:
        self.name, self.cluster, self.snapshot = name, cluster, snapshot
        self.names = (cluster.name if cluster else "", name)
        self.id = self.version = ""
        self.state = "answering"
        self.own_connections = 0
        self.folds: dict[Fold, Tally] = {}

    def __getattr__(self, name: str) -> Any:
        # Reached only for a slot that stayed empty, so the figures that are there cost nothing.
        if name in Server.REPLY_OF:
            raise Missing(Server.REPLY_OF[name], self.name)
        raise AttributeError(name)

    @property
    def home(self) -> str:
        return self.names[0]

    def labels(self) -> dict[str, str]:
        return {"server": self.name, "cluster": self.home}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.id}

    def folded(self, fold: Fold) -> Tally:
        """What a fold remembers of this server's connections."""
        try:
            return self.folds[fold]
        except KeyError:
            raise Missing(fold.endpoint, self.name) from None

    @property
    def local_interest(self) -> int:
        """Subscriptions made on this server, some 60 internal ones included.

        The table holds routed interest too; what came over each link is told by ROUTEZ and LEAFZ.
        """
        return max(
            0, self.varz.subscriptions - self.routez.subscriptions - self.leafz.subscriptions
        )


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

    __slots__ = ("name", "on", "seen")
    kind, scope, depends_on = "account", "ACCOUNT", ALL_SERVERS
    labelled = ("account",)

    def __init__(self, name: str, snapshot: Snapshot) -> None:
        self.name, self.names, self.snapshot = name, (name,), snapshot
        self.seen = 0
        self.on: dict[tuple[str, ...], int] = {}

    @property
    def connections(self) -> int:
        return self.snapshot.whole("STATZ", self.seen)

    def labels(self) -> dict[str, str]:
        return {"account": self.name}


class AccountInCluster(Noun):
    """One account within one cluster."""

    __slots__ = ("account", "cluster", "on")
    kind, scope, depends_on = "account_in_cluster", "ACCOUNT", ITS_CLUSTER
    labelled = ("account", "cluster")

    def __init__(self, account: str, cluster: Cluster, snapshot: Snapshot) -> None:
        self.account, self.cluster, self.snapshot = account, cluster, snapshot
        self.names = (account, cluster.name)
        self.on: dict[str, int] = {}

    @property
    def home(self) -> str:
        return self.cluster.name

    def labels(self) -> dict[str, str]:
        return {"account": self.account, "cluster": self.cluster.name}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "name": self.account}

    def by_server(self) -> dict[str, int]:
        """Connections on each server of the cluster that has some; Missing if one is unheard."""
        for server in self.cluster.servers:
            _ = server.accounts
        return self.on

    def most(self) -> dict[str, Any]:
        """The servers that hold most of its connections."""
        return largest(self.on)


class User(Noun):
    """One (account, user). `connections` is exact or Missing, `seen` the lower bound."""

    __slots__ = ("account", "name", "seen")
    kind, scope, depends_on = "user", "ACCOUNT", ALL_SERVERS
    labelled = ("account", "user")

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
        folded = ((server, server.folds.get(by_user)) for server in self.snapshot.servers.values())
        on: Counter[str] = Counter()  # Servers of two clusters may share a name.
        for server, users in folded:
            on[server.name] += users[self.names] if users else 0
        return largest(+on)

    def at_most(self) -> User | None:
        last_known = self.snapshot.last_known_users()
        if last_known is None:
            return None
        return User(self.account, self.name, self.seen + last_known[self.names], self.snapshot)


class System(Noun):
    """All servers that the system account reaches."""

    __slots__ = ()
    kind, scope, depends_on = "system", "SYSTEM", ALL_SERVERS

    def __init__(self, snapshot: Snapshot) -> None:
        self.names, self.snapshot = ("system",), snapshot


def largest(counts: Mapping[str, int], few: int = 10) -> dict[str, Any]:
    """The `few` largest of some counts, largest first, and how many names were left out."""
    top = heapq.nsmallest(few, counts.items(), key=lambda item: (-item[1], item[0]))
    return {"top": [list(item) for item in top], "left_out": len(counts) - len(top)}


def seconds_between(start: datetime | None, now: datetime | None) -> float:
    """Seconds from `start` to `now`, 0 where either is not told."""
    return (now - start).total_seconds() if start and now else 0.0
