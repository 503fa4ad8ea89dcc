"""Raft groups: one server's part in a group, and the meta group, which assigns all the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nats_insights.errors import Missing, NotTold
from nats_insights.facts import Names
from nats_insights.model.nouns.cluster import Cluster
from nats_insights.model.nouns.noun import ITS_CLUSTER, ITS_SERVER, Noun
from nats_insights.model.nouns.server import Server
from nats_insights.replies import raftz
from nats_insights.replies.jetstream import JetStream, Meta
from nats_insights.replies.raftz import RAFTZ
from nats_insights.replies.varz import VARZ

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class RaftGroup(Noun):
    """One server's part in a group of the system account; there is one, the meta group.

    Groups of streams and consumers belong to their accounts, so they would need a request for each
    account of each server; JSZ reports the leaders of streams, too.
    """

    __slots__ = ("server", "told")
    kind, scope, depends_on = "raft_group", "SERVER", ITS_SERVER
    labelled = ("cluster", "server", "group")
    when_gone = "{server} is no member of group {group} any more"

    def __init__(self, server: Server, account: str, group: str, told: raftz.RaftGroup) -> None:
        self.server, self.told, self.snapshot = server, told, server.snapshot
        self.names = (*server.names, account, group)

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[RaftGroup]:
        for server in snapshot.servers.values():
            try:
                accounts = server.reply(RAFTZ)
            except Missing:
                continue
            for account, groups in accounts.items():
                for group, told in groups.items():
                    yield cls(server, account, group, told)

    @property
    def home(self) -> str:
        return self.names[0]

    @property
    def rests_on(self) -> Names:
        return self.names[:2]

    @property
    def tags(self) -> tuple[str, ...]:
        return self.server.tags

    def labels(self) -> dict[str, str]:
        cluster, server, _, group = self.names
        return {"cluster": cluster, "server": server, "group": group}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.names[3]}


class MetaGroup(Noun):
    """The meta group as the servers of one cluster report it in VARZ in each epoch.

    Clusters joined by gateways share one meta group; each has a noun with what its servers report.
    """

    __slots__ = ("cluster", "views")
    kind, scope, depends_on = "meta_group", "CLUSTER", ITS_CLUSTER
    across = True
    labelled = ("cluster",)
    when_gone = "no server of {cluster} has a meta group any more"

    def __init__(self, cluster: Cluster, views: dict[str, Meta]) -> None:
        self.cluster, self.views, self.snapshot = cluster, views, cluster.snapshot
        self.names = (cluster.name,)

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[MetaGroup]:
        for cluster in snapshot.clusters.values():
            told = ((server.name, _jetstream(server)) for server in cluster.servers)
            views = {name: one.meta for name, one in told if one and one.meta}
            if views:
                yield cls(cluster, views)

    @property
    def home(self) -> str:
        return self.names[0]

    @property
    def leader(self) -> str:
        """The leader that a server of the cluster reports, "" if none does."""
        return next((view.leader for _, view in sorted(self.views.items()) if view.leader), "")

    @property
    def size(self) -> int:
        """How many members it has: the largest number that a server reports."""
        return max(view.cluster_size for view in self.views.values())

    @property
    def quorum(self) -> int:
        """How many members must agree."""
        return max(_quorum(view) for view in self.views.values())

    @property
    def online(self) -> int:
        """Servers with JetStream of the same domain that reply, in any cluster.

        What servers report of the members is delayed: before 2.15 they name none while there is no
        leader, and a leader reports dead members as current for ten seconds.
        """
        domains = {self.domain(server) for server in self.cluster.servers} - {None}
        servers = self.snapshot.servers.values()
        return sum(1 for server in servers if self.domain(server) in domains)

    @property
    def has_quorum(self) -> bool:
        """Whether a quorum of them replies; Missing if that depends on hung servers."""
        if self.online >= self.quorum:
            return True
        hung = [entry.name for entry in self.snapshot.members if entry.state == "hung"]
        if self.online + len(hung) >= self.quorum:
            raise Missing(VARZ.key, min(hung))
        return False

    @staticmethod
    def domain(server: Server) -> str | None:
        """The JetStream domain of a server, None if it is not a member of a meta group."""
        jetstream = _jetstream(server)
        if jetstream is None or jetstream.meta is None:
            return None
        return jetstream.config.domain if jetstream.config else ""

    def labels(self) -> dict[str, str]:
        return {"cluster": self.names[0]}


def _jetstream(server: Server) -> JetStream | None:
    try:
        return server.varz.jetstream
    except Missing:
        return None


def _quorum(view: Meta) -> int:
    try:
        return view.quorum_needed or view.cluster_size // 2 + 1
    except NotTold:
        return view.cluster_size // 2 + 1
