"""Accounts, over all servers and within one cluster."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model.closed import closed_by_account
from nats_insights.model.loaded import Detail, Import
from nats_insights.model.nouns.cluster import Cluster
from nats_insights.model.nouns.noun import ALL_SERVERS, ITS_CLUSTER, Noun, largest
from nats_insights.model.nouns.system import System
from nats_insights.model.worst import Worst
from nats_insights.replies.connz import Closed, Row
from nats_insights.replies.statsz import SplitTraffic
from nats_insights.replies.statz import STATZ, STATZ_TRAFFIC, AccountTraffic

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Account(Noun):
    """One account over all servers that has clients, or had slow consumers.

    `name` is what servers call it, with JWTs its key. Sentences that have the key are published
    with the name of the JWT, if it is known.

    `connections` is exact or Missing, `seen_connections` is a lower bound.
    """

    __slots__ = ("name",)
    kind, scope, depends_on = "account", "ACCOUNT", ALL_SERVERS
    labelled = ("account",)
    when_gone = "account {name} has no connections any more"

    def __init__(self, name: str, snapshot: Snapshot) -> None:
        self.name, self.names, self.snapshot = name, (name,), snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Account]:
        return (cls(name, snapshot) for name in snapshot.accounts)

    @property
    def seen_connections(self) -> int:
        """Its connections on the servers that replied."""
        return self.snapshot.accounts.get(self.name, 0)

    @property
    def connections(self) -> int:
        """Its connections on all servers, or Missing."""
        return self.snapshot.lacking.whole("STATZ", self.seen_connections)

    @property
    def slow_consumers(self) -> Mapping[Names, int]:
        """Slow consumers that each server that replied has disconnected since its start."""
        system = self.snapshot.system
        told, slow = system.memo(_told_accounts), system.memo(_slow_consumers).get(self.name)
        return {**told, **slow} if slow else told

    def rows(self, worst: Worst) -> list[Row]:
        """Its clients among the rows that matter of all servers, the worst first, or Missing."""
        return self.snapshot.lacking.whole(worst.endpoint.key, self.seen_rows(worst))

    def seen_rows(self, worst: Worst) -> list[Row]:
        """The same of the servers that replied, which may not be all."""
        return self.snapshot.system.memo(worst.by_account).get(self.name, [])

    @property
    def seen_closed(self) -> list[Closed]:
        """Its clients among the closed connections of the servers that replied, latest first."""
        return self.snapshot.system.memo(closed_by_account).get(self.name, [])

    def labels(self) -> dict[str, str]:
        return {"account": self.name}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "name": self.jwt_name("account") or self.name}


class AccountOverGateways(Account):
    """One account with clients, of which messages crossed from one cluster to another."""

    __slots__ = ()
    when_gone = "nothing of account {name} crosses gateways any more, or it has no connections"

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[AccountOverGateways]:
        try:
            traffic = snapshot.system.memo(_traffic)
            names = [name for name in traffic if name in snapshot.accounts]
        except Missing:  # So has each of them.
            names = list(snapshot.accounts)
        return (cls(name, snapshot) for name in names)

    @property
    def traffic(self) -> Traffic:
        """Missing if a server did not reply, NotTold if one with gateways is too old."""
        traffic = self.snapshot.system.memo(_traffic)
        return self.snapshot.lacking.whole(STATZ_TRAFFIC.key, traffic[self.name])


class ListedAccount(Account):
    """One account that servers list, with clients or without; system accounts are left out.

    With JWTs a server lists an account from its first use on. Servers list `$G`, the account of
    those who name none, also where nobody can use it: it is left out.
    """

    __slots__ = ()
    when_gone = "no server lists account {name} any more"

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[ListedAccount]:
        return (cls(name, snapshot) for name in snapshot.system.memo(_activity))

    @property
    def activity(self) -> int:
        """Messages that all servers sent and received for it since they started, or -1 while it has
        clients or leaf nodes; Missing if a server did not reply."""
        told = self.snapshot.system.memo(_activity).get(self.name, 0)
        return self.snapshot.lacking.whole(STATZ_TRAFFIC.key, told)

    @property
    def streams(self) -> int:
        """Its streams, or Missing."""
        counted = self.snapshot.system.memo(_streams)[self.name]
        return self.snapshot.lacking.whole("JSZ_STREAMS", counted)


class JwtAccount(Account):
    """One account with a JWT that a server has loaded, the system account included.

    `detail` is what was read of it, or Missing. A check about it needs STATZ, which names the
    accounts that there are, and ACCOUNTZ_DETAIL.
    """

    __slots__ = ("_known",)
    kind, scope, depends_on = "account", "ACCOUNT", ALL_SERVERS
    when_gone = "no server has account {name} loaded any more"

    def __init__(self, name: str, known: Detail | None, snapshot: Snapshot) -> None:
        super().__init__(name, snapshot)
        self._known = known

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[JwtAccount]:
        stale = snapshot.loaded.stale
        for key, known in snapshot.loaded.accounts.items():
            if not key[1]:
                yield cls(key[0], None if key in stale else known, snapshot)

    @classmethod
    def unseen(cls, snapshot: Snapshot, names: Names) -> str:
        return snapshot.loaded.unseen((*names, ""))

    @property
    def detail(self) -> Detail:
        """What a server reported of it."""
        if self._known is not None:
            return self._known
        return self.snapshot.loaded.detail((self.name, ""))

    def why_inactive(self, one: Import) -> str:
        """Why one of its imports is not in force, "" if it cannot be told."""
        return self.snapshot.loaded.why_inactive(one, self.snapshot.now)

    @property
    def leafnodes(self) -> Mapping[Names, int]:
        """Its leaf nodes on each server that replied and has any."""
        return self.snapshot.system.memo(_leafnodes).get(self.name, {})

    @property
    def expires(self) -> str:
        """When its JWT expires, "" if it does not."""
        ends = self.detail.expires
        return datetime.fromtimestamp(ends, UTC).isoformat() if ends else ""

    @property
    def days_left(self) -> float:
        """Days until its JWT expires, infinite if it does not."""
        ends = self.detail.expires
        return (ends - self.snapshot.now) / 86_400 if ends else math.inf


class AccountInCluster(Noun):
    """One account within one cluster."""

    __slots__ = ("account", "cluster")
    kind, scope, depends_on = "account_in_cluster", "ACCOUNT", ITS_CLUSTER
    labelled = ("account", "cluster")
    when_gone = "account {name} has no connections in {cluster} any more"

    def __init__(self, account: str, cluster: Cluster, snapshot: Snapshot) -> None:
        self.account, self.cluster, self.snapshot = account, cluster, snapshot
        self.names = (account, cluster.name)

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[AccountInCluster]:
        for account, cluster in snapshot.accounts_in_clusters:
            yield cls(account, snapshot.clusters[cluster], snapshot)

    @classmethod
    def unseen(cls, snapshot: Snapshot, names: Names) -> str:
        # Beyond the bound, accounts are not counted.
        known = names in snapshot.accounts_in_clusters
        return "" if known else snapshot.lacking.too_many_accounts

    @property
    def home(self) -> str:
        return self.cluster.name

    def labels(self) -> dict[str, str]:
        return {"account": self.account, "cluster": self.cluster.name}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "name": self.jwt_name("account") or self.account}

    def by_server(self) -> dict[str, int]:
        """Connections on each server of the cluster with any; Missing if one did not reply."""
        self.cluster.memo(_need_accounts)
        return self._seen

    def most(self) -> dict[str, Any]:
        """The servers with most of its connections."""
        return largest(self._seen)

    @property
    def _seen(self) -> dict[str, int]:
        return self.snapshot.accounts_in_clusters.get(self.names, {})


class Traffic(NamedTuple):
    """Bytes that servers sent and received for an account since their start, by server.

    `over_gateways` are those between clusters, `in_all` all but those over routes.
    """

    over_gateways: dict[Names, int]
    in_all: dict[Names, int]


def _traffic(system: System) -> dict[str, Traffic]:
    """Of the accounts of which something crossed: in a large system few do."""
    rows = [(names, one) for names, told in _with_gateways(system) for one in told]
    traffic: dict[str, Traffic] = {}
    for names, one in rows:
        if over_gateways := _gateway_bytes(one.sent) + _gateway_bytes(one.received):
            of = traffic.setdefault(one.acc, Traffic({}, {}))
            of.over_gateways[names] = over_gateways
    for names, one in rows:
        if one.acc in traffic:
            traffic[one.acc].in_all[names] = _own_bytes(one.sent) + _own_bytes(one.received)
    return traffic


def _with_gateways(system: System) -> Iterator[tuple[Names, list[AccountTraffic]]]:
    """The account statistics of servers that have gateways: most systems have one cluster."""
    for names, server in system.snapshot.servers.items():
        statz = server.replies.get(STATZ_TRAFFIC.key)
        if statz is not None and server.varz.gateway and server.varz.gateway.name:
            yield names, statz.account_statz or []


def _gateway_bytes(way: SplitTraffic | None) -> int:
    if way is None or not way.msgs:  # As of most accounts on most servers.
        return 0
    return over.bytes if (over := way.gateways) else 0


def _own_bytes(way: SplitTraffic | None) -> int:
    """All but those over routes."""
    if way is None or not way.msgs:
        return 0
    return way.bytes - (over.bytes if (over := way.routes) else 0)


def _activity(system: System) -> dict[str, int]:
    active: dict[str, int] = {}
    snapshot = system.snapshot
    for server in snapshot.servers.values():
        statz = server.replies.get(STATZ_TRAFFIC.key)
        for one in (statz and statz.account_statz) or ():
            if one.total_conns:
                active[one.acc] = -1
            elif (known := active.get(one.acc, 0)) >= 0:
                sent, received = one.sent, one.received
                messages = (sent.msgs if sent else 0) + (received.msgs if received else 0)
                active[one.acc] = known + messages
    left_out = {"$G", *snapshot.system_accounts}
    return {name: told for name, told in active.items() if name not in left_out}


def _streams(system: System) -> Counter[str]:
    return Counter(account for account, *_ in system.snapshot.streams)


def _told_accounts(system: System) -> dict[Names, int]:
    """0 for each server that reported its accounts; accounts without slow consumers share it."""
    servers = system.snapshot.servers.values()
    return {server.names: 0 for server in servers if STATZ.key in server.replies}


def _slow_consumers(system: System) -> dict[str, dict[Names, int]]:
    slow: dict[str, dict[Names, int]] = {}
    for names in system.memo(_told_accounts):
        for one in system.snapshot.servers[names].reply(STATZ).account_statz or ():
            if one.slow_consumers:
                slow.setdefault(one.acc, {})[names] = one.slow_consumers
    return slow


def _leafnodes(system: System) -> dict[str, dict[Names, int]]:
    leafnodes: dict[str, dict[Names, int]] = {}
    for server in system.snapshot.servers.values():
        reply = server.replies.get(STATZ.key)
        for one in () if reply is None else reply.account_statz or ():
            if one.leafnodes:
                leafnodes.setdefault(one.acc, {})[server.names] = one.leafnodes
    return leafnodes


def _need_accounts(cluster: Cluster) -> None:
    """Missing if a server of the cluster, an absent one too, did not report its accounts."""
    for server in cluster.servers:
        _ = server.accounts
    for home, name in cluster.snapshot.lacking.absent:
        if home == cluster.name:
            raise Missing("STATZ", name)
