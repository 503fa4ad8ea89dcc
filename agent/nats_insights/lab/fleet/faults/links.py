"""Routes and gateways that are missing, slow, or carry too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nats_insights.lab.fleet.faults.fault import ByServer, Fault, Look, Names, OfCluster
from nats_insights.lab.fleet.model import Cluster, Fleet, Server

_MEBIBYTE = 1 << 20
Pair = tuple[Server, Server]
Mesh = tuple[Server, Cluster]


class OfRoute(ByServer[Pair]):
    """Of a server, by its routes; planted between two servers of a cluster."""

    def places(self, fleet: Fleet) -> Iterable[Pair]:
        return [(one, peer) for one in fleet.running for peer in one.peers]


class RouteRtt(OfRoute, code="SERVER_010"):
    """Fifty milliseconds, and a bit more."""

    def plant(self, fleet: Fleet, place: Pair, over: bool) -> None:
        one, peer = place
        rtt = "50.1ms" if over else "50ms"
        one.say("ROUTEZ", {"routes": {peer.name: {"rtt": rtt}}})

    def holds(self, look: Look, server: Server) -> bool:
        return any(milliseconds(row["rtt"]) > 50 for row in _routes(look, server))


class RoutePending(OfRoute, code="OPT_SYS_005"):
    """Eight mebibytes wait, and a byte more."""

    def plant(self, fleet: Fleet, place: Pair, over: bool) -> None:
        one, peer = place
        one.say("ROUTEZ", {"routes": {peer.name: {"pending_size": 8 * _MEBIBYTE + over}}})

    def holds(self, look: Look, server: Server) -> bool:
        return any(row["pending_size"] > 8 * _MEBIBYTE for row in _routes(look, server))


class RouteMissing(OfRoute, code="CLUSTER_005"):
    """Neither of two servers has a route to the other; or they have all of a pool but one."""

    def plant(self, fleet: Fleet, place: Pair, over: bool) -> None:
        if over:
            _cut(*place)
        else:
            place[0].say("ROUTEZ", {"routes": lambda rows, _: rows[1:]})

    def holds(self, look: Look, server: Server) -> bool:
        cluster = server.cluster
        if is_split(look, cluster):  # Which explains it.
            return False
        others = [one for one in cluster.running if one is not server]
        own = _routed(look, server)
        return any(one.id not in own and server.id not in _routed(look, one) for one in others)


class OneWayRoute(OfRoute, code="CLUSTER_902"):
    """Only one of two servers has a route to the other; or each of them, and one has fewer."""

    def plant(self, fleet: Fleet, place: Pair, over: bool) -> None:
        one, peer = place
        if over:
            peer.cut.add(one)
        else:
            peer.say("ROUTEZ", {"routes": lambda rows, _: rows[2:]})

    def holds(self, look: Look, server: Server) -> bool:
        own = _routed(look, server)
        others = [one for one in server.cluster.running if one.id in own]
        return any(server.id not in _routed(look, one) for one in others)


class ClusterSplit(OfCluster, code="CLUSTER_903"):
    """No route joins one half of a cluster with the other; or a single one does."""

    def plant(self, fleet: Fleet, place: Cluster, over: bool) -> None:
        servers = place.running
        half = len(servers) // 2
        for one in servers[:half]:
            for other in servers[half:]:
                if over or (one, other) != (servers[0], servers[-1]):
                    _cut(one, other)

    def holds(self, look: Look, cluster: Cluster) -> bool:
        return is_split(look, cluster)


class GatewayLost(Fault[Mesh], code="CLUSTER_007"):
    """No connection to a cluster that is in the configuration; or one, with the same."""

    def places(self, fleet: Fleet) -> Iterable[Mesh]:
        return _gateways(fleet)

    def plant(self, fleet: Fleet, place: Mesh, over: bool) -> None:
        server, other = place
        remotes = [{"name": one.name, "tls_timeout": 2} for one in (server.cluster, other)]
        server.say("VARZ", {"gateway": {"gateways": remotes}})
        if over:
            server.say("GATEWAYZ", {"outbound_gateways": {other.name: None}})

    def truth(self, look: Look) -> Iterator[Names]:
        for server in look.servers:
            configured = look.varz(server)["gateway"].get("gateways", [])
            remotes = {one["name"] for one in configured} - {server.cluster.name}
            known = {cluster.name for cluster in look.fleet.clusters}
            for remote in remotes & known:
                if remote not in _outbound(look, server):
                    yield server.cluster.name, server.name, remote


class GatewayMismatch(Fault[tuple[Cluster, Cluster]], code="CLUSTER_008"):
    """One server of a cluster has no gateway that the others have; or half of the servers."""

    def places(self, fleet: Fleet) -> Iterable[tuple[Cluster, Cluster]]:
        linked = {(server.cluster, other) for server, other in _gateways(fleet)}
        in_order = sorted(linked, key=lambda pair: (pair[0].number, pair[1].number))
        return [pair for pair in in_order if len(pair[0].running) in (4, 6, 8)]

    def plant(self, fleet: Fleet, place: tuple[Cluster, Cluster], over: bool) -> None:
        cluster, other = place
        servers = cluster.running
        for server in servers[: 1 if over else len(servers) // 2]:
            server.say("GATEWAYZ", {"outbound_gateways": {other.name: None}})

    def truth(self, look: Look) -> Iterator[Names]:
        lost = set(GatewayLost().truth(look))  # Which explains it.
        for cluster in look.fleet.clusters:
            connected = {one.name: set(_outbound(look, one)) for one in cluster.running}
            for remote in set().union(*connected.values()):
                having = {name for name, remotes in connected.items() if remote in remotes}
                lacking = connected.keys() - having
                few = min(having, lacking, key=len)
                for name in few if 2 * len(few) < len(connected) else ():
                    if (cluster.name, name, remote) not in lost:
                        yield cluster.name, name, remote


class OfGateway(Fault[Mesh]):
    """Of the connection of a server to another cluster, by its figures."""

    def places(self, fleet: Fleet) -> Iterable[Mesh]:
        return _gateways(fleet)

    def truth(self, look: Look) -> Iterator[Names]:
        for server in look.servers:
            for remote, row in _outbound(look, server).items():
                if self.holds(row["connection"]):
                    yield server.cluster.name, server.name, remote

    def holds(self, connection: dict[str, Any]) -> bool:
        raise NotImplementedError


class GatewayRtt(OfGateway, code="SERVER_018"):
    """Half a second, and a bit more."""

    def plant(self, fleet: Fleet, place: Mesh, over: bool) -> None:
        _say_of_gateway(place, rtt="500.1ms" if over else "500ms")

    def holds(self, connection: dict[str, Any]) -> bool:
        return milliseconds(connection["rtt"]) > 500


class GatewayPending(OfGateway, code="OPT_SYS_014"):
    """Eight mebibytes wait, and a byte more."""

    def plant(self, fleet: Fleet, place: Mesh, over: bool) -> None:
        _say_of_gateway(place, pending_bytes=8 * _MEBIBYTE + over)

    def holds(self, connection: dict[str, Any]) -> bool:
        return bool(connection["pending_bytes"] > 8 * _MEBIBYTE)


def _cut(one: Server, other: Server) -> None:
    one.cut.add(other)
    other.cut.add(one)


def _routes(look: Look, server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = look.said(server, "ROUTEZ")["routes"]
    return rows


def _routed(look: Look, server: Server) -> set[str]:
    """The ids of the servers that it has routes to."""
    return {row["remote_id"] for row in _routes(look, server)}


def is_split(look: Look, cluster: Cluster) -> bool:
    """Whether a server is not reached from the first server, over routes of whichever end."""
    servers = {one.id: _routed(look, one) for one in cluster.running}
    reached = set(list(servers)[:1])
    for _ in servers:
        reached |= {id for id, routes in servers.items() if routes & reached}
        reached |= {id for one in reached for id in servers[one]}
    return reached != set(servers)


def _gateways(fleet: Fleet) -> list[Mesh]:
    """Each server with each other cluster."""
    return [
        (server, other)
        for server in fleet.running
        for other in fleet.clusters
        if other is not server.cluster and other.running
    ]


def _outbound(look: Look, server: Server) -> dict[str, Any]:
    rows: dict[str, Any] = look.said(server, "GATEWAYZ")["outbound_gateways"]
    return rows


def _say_of_gateway(place: Mesh, **figures: Any) -> None:
    server, other = place
    server.say("GATEWAYZ", {"outbound_gateways": {other.name: {"connection": figures}}})


def milliseconds(told: str) -> float:
    """A round trip as servers tell it, in two of the units that there are."""
    for unit, factor in (("µs", 0.001), ("ms", 1.0)):
        if told.endswith(unit):
            return factor * float(told.removesuffix(unit))
    raise ValueError(told)
