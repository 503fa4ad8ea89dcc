"""Links of one server: to servers of its cluster, to other clusters, to leaf nodes.

A link is named after what it connects, not after one of its connections, which do not last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nats_insights.errors import TooSoon
from nats_insights.facts import Names
from nats_insights.model.nouns.noun import ITS_CLUSTER, ITS_SERVER, Noun
from nats_insights.model.nouns.part import PartOfServer
from nats_insights.model.roster import State
from nats_insights.replies.connz import Connection
from nats_insights.replies.durations import milliseconds
from nats_insights.replies.gatewayz import GATEWAYZ, Gatewayz
from nats_insights.replies.leafz import LEAFZ
from nats_insights.replies.leafz import Leaf as LeafConnection
from nats_insights.replies.routez import ROUTEZ_DETAIL
from nats_insights.replies.routez import Route as RouteConnection
from nats_insights.replies.varz import VARZ

if TYPE_CHECKING:
    from nats_insights.model.nouns.cluster import Cluster
    from nats_insights.model.nouns.server import Server
    from nats_insights.model.nouns.system import System
    from nats_insights.model.snapshot import Snapshot


class Route(PartOfServer, Noun):
    """The link of one server to another one of its cluster, as the first reports it.

    `connections` has each connection: there are several between two servers.
    """

    __slots__ = ("connections", "remote", "server")
    kind, scope, depends_on = "route", "SERVER", ITS_SERVER
    labelled = ("cluster", "remote", "server")
    when_gone = "{server} has no route to {name} any more"

    def __init__(self, server: Server, remote: str, connections: list[RouteConnection]) -> None:
        self.server, self.remote, self.connections = server, remote, connections
        self.names, self.snapshot = (*server.names, remote), server.snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Route]:
        for server in snapshot.servers.values():
            of: dict[str, list[RouteConnection]] = defaultdict(list)
            routez = server.replies.get(ROUTEZ_DETAIL.key)
            for connection in (routez and routez.routes) or ():
                of[connection.remote_name or connection.remote_id].append(connection)
            yield from (cls(server, remote, of[remote]) for remote in sorted(of))

    @property
    def other_end(self) -> Names:
        """The (cluster, name) of the other server."""
        return (self.server.home, self.remote)

    def labels(self) -> dict[str, str]:
        return {**super().labels(), "remote": self.remote}


class Gateway(PartOfServer, Noun):
    """The link of one server to another cluster.

    There is one for each server of a cluster and each cluster that any of them is connected to or
    has in its configuration: so a server that lacks a connection has a Gateway, too.
    """

    __slots__ = ("remote", "server")
    kind, scope, depends_on = "gateway", "SERVER", ITS_CLUSTER
    labelled = ("cluster", "remote", "server")
    when_gone = "no server of {cluster} has a gateway to {name} any more"

    def __init__(self, server: Server, remote: str) -> None:
        self.server, self.remote = server, remote
        self.names, self.snapshot = (*server.names, remote), server.snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Gateway]:
        return snapshot.system.memo(_gateways)

    @property
    def outbound(self) -> Connection | None:
        """The connection by which its server sends to the other cluster; None without one."""
        links = self._gatewayz.outbound_gateways
        link = links.get(self.remote) if links else None
        return link.connection if link else None

    @property
    def inbound(self) -> list[Connection]:
        """The connections by which servers of the other cluster send to this one."""
        links = (self._gatewayz.inbound_gateways or {}).get(self.remote) or ()
        return [link.connection for link in links if link.connection]

    @property
    def rtt(self) -> float:
        """The round trip to the other cluster, in milliseconds, 0 without a connection.

        Servers ping each other every 15 s or more often: TooSoon until the first reply.
        """
        outbound = self.outbound
        if outbound is None:
            return 0.0
        if not (measured := milliseconds(outbound.rtt)):
            raise TooSoon("round trip", f"{self.server.name} to {self.remote}", "a ping's reply")
        return measured

    @property
    def remote_version(self) -> str:
        """The version of the server that its server sends to; TooSoon until that replied once."""
        outbound = self.outbound
        end = outbound.name if outbound else ""
        if not (version := self.snapshot.system.memo(_versions).get(end)):
            raise TooSoon("version", end or self.remote, "a reply of the server")
        return version

    @property
    def configured(self) -> bool:
        """Whether its server has it in the configuration; others are discovered from peers."""
        return self.remote in _configured(self.server)

    @property
    def silent_end(self) -> tuple[Names, ...]:
        """The (cluster, name) of each server of the other cluster if all are hung or dead."""
        states = self.remote_states
        if not {"hung", "dead"}.issuperset(states.values()):
            return ()
        return tuple(states)

    @property
    def remote_states(self) -> dict[Names, State]:
        """The states of the servers of the other cluster, without those that left."""
        return self.snapshot.system.memo(_states).get(self.remote, {})

    def labels(self) -> dict[str, str]:
        return {**super().labels(), "remote": self.remote}

    @property
    def _gatewayz(self) -> Gatewayz:
        return self.server.reply(GATEWAYZ)


class Leaf(PartOfServer, Noun):
    """The link of one server to a leaf node in one account; both ends have one.

    `connections` has each connection: several leaf nodes may have the same name.
    """

    __slots__ = ("account", "connections", "remote", "server")
    kind, scope, depends_on = "leaf", "SERVER", ITS_SERVER
    labelled = ("account", "cluster", "remote", "server")
    when_gone = "{server} has no leaf connection with {name} in account {account} any more"

    def __init__(
        self, server: Server, account: str, remote: str, connections: list[LeafConnection]
    ) -> None:
        self.server, self.connections = server, connections
        self.account, self.remote = account, remote
        self.names, self.snapshot = (*server.names, account, remote), server.snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Leaf]:
        for server in snapshot.servers.values():
            of: dict[tuple[str, str], list[LeafConnection]] = defaultdict(list)
            leafz = server.replies.get(LEAFZ.key)
            for connection in (leafz and leafz.leafs) or ():
                of[connection.account, connection.name].append(connection)
            yield from (cls(server, *whose, of[whose]) for whose in sorted(of))

    @property
    def is_second_end(self) -> bool:
        """Whether its server is the hub, and the leaf node is a server of this system.

        That lists it too, and knows more: a hub that is pinged measures the round-trip time once an
        hour. Missing if the leaf node did not report its connections.
        """
        if all(one.is_spoke for one in self.connections):
            return False
        leaf_nodes = self.snapshot.system.memo(_by_name).get(self.remote, ())
        return any(self.server.name in one.memo(_hubs) for one in leaf_nodes)

    def labels(self) -> dict[str, str]:
        return {**super().labels(), "account": self.account, "remote": self.remote}


def _by_name(system: System) -> dict[str, list[Server]]:
    named: dict[str, list[Server]] = defaultdict(list)
    for server in system.snapshot.servers.values():
        named[server.name].append(server)
    return named


def _hubs(server: Server) -> frozenset[str]:
    """The names of the servers that it is a leaf node of."""
    return frozenset([one.name for one in server.reply(LEAFZ).leafs or () if one.is_spoke])


def _states(system: System) -> dict[str, dict[Names, State]]:
    """The state of each known server that did not leave, by its cluster."""
    states: dict[str, dict[Names, State]] = defaultdict(dict)
    for entry in system.snapshot.members:
        states[entry.cluster][entry.key] = entry.state
    return states


def _versions(system: System) -> dict[str, str]:
    """The version of each known server, by its id."""
    return {entry.id: entry.version for entry in system.snapshot.members}


def _gateways(system: System) -> list[Gateway]:
    found = []
    for server in system.snapshot.servers.values():
        cluster = server.cluster
        remotes = cluster.memo(_all_remotes) if cluster else sorted(_remotes(server))
        found += [Gateway(server, remote) for remote in remotes]
    return found


def _all_remotes(cluster: Cluster) -> list[str]:
    """The other clusters that a server of this one is connected to, or should be."""
    return sorted({remote for server in cluster.servers for remote in _remotes(server)})


def _remotes(server: Server) -> set[str]:
    remotes = _configured(server) if VARZ.key in server.replies else set()
    gatewayz = server.replies.get(GATEWAYZ.key)
    if gatewayz is not None:
        remotes |= (gatewayz.outbound_gateways or {}).keys()
        remotes |= (gatewayz.inbound_gateways or {}).keys()
    return remotes


def _configured(server: Server) -> set[str]:
    """The other clusters in its configuration, which usually lists its own, too."""
    gateway = server.varz.gateway
    remotes = (gateway and gateway.gateways) or ()
    return {remote.name for remote in remotes} - {gateway.name if gateway else ""}
