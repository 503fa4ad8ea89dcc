"""ROUTEZ, LEAFZ and GATEWAYZ of a simulated server, and the same links in its STATSZ."""

from __future__ import annotations

from typing import Any

from nats_insights.lab.fleet import counts
from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Cluster, Fleet, Server
from nats_insights.lab.fleet.rows import timestamp, uptime

CLIENT_PORT = 4222
CLUSTER_PORT = 6222
# Three connections to each peer for the accounts, one for the system account.
POOL = 3
ROUTES_PER_PEER = POOL + 1

_GATEWAY_PORT = 7222
_FIRST_RID = 5
# Clusters joined by gateways, all with all; more of them would be joined by leaf nodes.
_MESH = 8


def routez(fleet: Fleet, server: Server, now: float) -> dict[str, Any]:
    """Four routes to each peer: three that share the accounts, one for the system account."""
    routes: list[dict[str, Any]] = []
    for peer in server.peers:
        subjects = [0] * ROUTES_PER_PEER
        told = counts.interest(fleet, peer)
        for number, account in enumerate(counts.accounts(fleet, server.cluster)):
            lane = POOL if account == SYSTEM_ACCOUNT else number % POOL
            subjects[lane] += told[account]
        route = _route(server, peer, now)
        for lane, count in enumerate(subjects):
            own: dict[str, Any] = {"rid": _FIRST_RID + len(routes), "subscriptions": count}
            if lane == POOL:
                own["account"] = SYSTEM_ACCOUNT
            routes.append(route | own)
    return {"server_name": server.name, "num_routes": len(routes), "routes": routes}


def leafz(fleet: Fleet, server: Server) -> dict[str, Any]:
    """One row for each leaf node; the same ones are rows of CONNZ."""
    leafs = []
    connections = fleet.connections(server) if counts.tally(fleet, server).leafnodes else ()
    for connection in connections:
        if connection.user.kind == "leaf":
            row = {
                "id": connection.cid,
                "name": f"{connection.user.program}-{connection.cid}",
                "is_spoke": False,
                "account": connection.user.account,
                "ip": "10.250.0.1",
                "port": 40_000 + connection.cid % 20_000,
                "rtt": "512µs",
                **_NO_TRAFFIC,
                "subscriptions": connection.subscriptions,
                "compression": "s2_uncompressed",
            }
            leafs.append(row)
    return {"leafnodes": len(leafs), "leafs": leafs}


def gatewayz(fleet: Fleet, server: Server, now: float) -> dict[str, Any]:
    """One connection to each other cluster of the mesh, and those that come from there."""
    others = _mesh(fleet, server.cluster)
    data: dict[str, Any] = {"outbound_gateways": {}, "inbound_gateways": {}}
    if not others:
        return data
    for other in others:
        target = _target(server, other)
        data["outbound_gateways"][other.name] = {
            "configured": True,
            "connection": _gateway(server, target, now),
        }
        inbound = [peer for peer in other.running if _target(peer, server.cluster) is server]
        if inbound:
            data["inbound_gateways"][other.name] = [
                {"configured": False, "connection": _gateway(server, peer, now)} for peer in inbound
            ]
    return {"name": server.cluster.name, "host": server.host, "port": _GATEWAY_PORT} | data


def stats(fleet: Fleet, server: Server) -> dict[str, Any]:
    """The links as STATSZ lists them; a list without rows is left out."""
    routes = [
        {"rid": _FIRST_RID + k, "name": peer.name, **_STAT, "pending": 0}
        for k, peer in enumerate(peer for peer in server.peers for _ in range(ROUTES_PER_PEER))
    ]
    gateways = [
        {"gwid": 9 + other.number, "name": other.name, **_STAT, "inbound_connections": 1}
        for other in _mesh(fleet, server.cluster)
    ]
    lists: dict[str, Any] = {"routes": routes, "gateways": gateways}
    return {name: links for name, links in lists.items() if links}


def _mesh(fleet: Fleet, cluster: Cluster) -> list[Cluster]:
    first = cluster.number // _MESH * _MESH
    mesh = fleet.clusters[first : first + _MESH]
    return [other for other in mesh if other is not cluster and other.running]


def _target(server: Server, other: Cluster) -> Server:
    """The server of another cluster that this one's gateway connects to."""
    running = other.running
    return running[server.cluster.servers.index(server) % len(running)]


def _route(server: Server, peer: Server, now: float) -> dict[str, Any]:
    began = max(server.started, peer.started)
    return {
        "rid": 0,
        "remote_id": peer.id,
        "remote_name": peer.name,
        "did_solicit": server.name < peer.name,
        "is_configured": server.name < peer.name,
        "ip": peer.host,
        "port": CLUSTER_PORT,
        "start": timestamp(began),
        "last_activity": timestamp(now),
        "rtt": "214µs",
        "uptime": uptime(int(now) - began),
        "idle": "0s",
        "pending_size": 0,
        **_NO_TRAFFIC,
        "subscriptions": 0,
        "compression": "off",
    }


def _gateway(server: Server, remote: Server, now: float) -> dict[str, Any]:
    began = max(server.started, remote.started)
    return {
        "cid": 9 + remote.cluster.number,
        "kind": "Gateway",
        "ip": remote.host,
        "port": _GATEWAY_PORT,
        "start": timestamp(began),
        "last_activity": timestamp(now),
        "rtt": "31.204518ms",
        "uptime": uptime(int(now) - began),
        "idle": "0s",
        "pending_bytes": 0,
        **_NO_TRAFFIC,
        "subscriptions": 0,
        "name": remote.id,
    }


_NO_TRAFFIC = {"in_msgs": 0, "out_msgs": 0, "in_bytes": 0, "out_bytes": 0}
_NOTHING = {"msgs": 0, "bytes": 0}
_STAT = {"sent": _NOTHING, "received": _NOTHING}
