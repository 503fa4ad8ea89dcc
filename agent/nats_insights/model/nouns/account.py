"""Accounts, over all servers and within one cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model.nouns.cluster import Cluster
from nats_insights.model.nouns.noun import ALL_SERVERS, ITS_CLUSTER, Noun, largest
from nats_insights.model.nouns.system import System
from nats_insights.model.worst import Worst
from nats_insights.replies.connz import Row
from nats_insights.replies.statz import STATZ

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
        """Its clients among the worst rows of all servers, the worst first, or Missing."""
        return self.snapshot.lacking.whole(worst.endpoint.key, self.seen_rows(worst))

    def seen_rows(self, worst: Worst) -> list[Row]:
        """The same of the servers that replied, which may not be all."""
        return self.snapshot.system.memo(worst.by_account).get(self.name, [])

    def labels(self) -> dict[str, str]:
        return {"account": self.name}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "name": self.jwt_name("account") or self.name}


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


def _need_accounts(cluster: Cluster) -> None:
    """Missing if a server of the cluster, an absent one too, did not report its accounts."""
    for server in cluster.servers:
        _ = server.accounts
    for home, name in cluster.snapshot.lacking.absent:
        if home == cluster.name:
            raise Missing("STATZ", name)
