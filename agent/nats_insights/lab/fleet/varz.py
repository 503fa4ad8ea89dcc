"""VARZ and STATSZ of a simulated server: its own figures."""

from __future__ import annotations

from typing import Any

from nats_insights.lab.fleet import counts, jetstream, links
from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Fleet, Server
from nats_insights.lab.fleet.rows import timestamp, uptime

_MEBIBYTE = 1 << 20
_CORES = 8
_MESSAGE_BYTES = 256


def varz(
    fleet: Fleet, server: Server, now: float, version: str, flags: dict[str, bool]
) -> dict[str, Any]:
    """What a server says of itself; `subscriptions` holds all it knows of, as everywhere."""
    own = counts.tally(fleet, server)
    elapsed = int(now) - server.started
    return {
        "server_name": server.name,
        "version": version,
        "proto": 1,
        "git_commit": "b2fd3ef",
        "go": "go1.27.2",
        "host": server.host,
        "port": links.CLIENT_PORT,
        "auth_required": True,
        "connect_urls": [f"{p.host}:{links.CLIENT_PORT}" for p in server.cluster.running],
        "max_connections": server.max_connections,
        **_LIMITS,
        "cluster": _cluster(server),
        "gateway": {"name": server.cluster.name} if len(fleet.clusters) > 1 else {},
        **{part: {} for part in ("leaf", "mqtt", "websocket")},
        "jetstream": jetstream.varz(server),
        "tls_timeout": 2,
        "write_deadline": 10_000_000_000,
        "start": timestamp(server.started),
        "uptime": uptime(elapsed),
        **_process(server),
        "connections": own.connections.total(),
        "total_connections": server.total_connections,
        "routes": links.ROUTES_PER_PEER * len(server.peers),
        "remotes": len(server.peers),
        "leafnodes": own.leafnodes.total(),
        **_traffic(own.connections.total() * elapsed),
        "slow_consumers": 0,
        "stale_connections": 0,
        "stalled_clients": 0,
        "subscriptions": counts.total(fleet, server),
        "http_req_stats": {},
        "config_load_time": timestamp(server.started),
        "config_digest": "sha256:" + 4 * "99119ba49e6aa6fb",
        "feature_flags": flags,
        "system_account": SYSTEM_ACCOUNT,
        "slow_consumer_stats": _BY_KIND,
        "stale_connection_stats": _BY_KIND,
        "disk_io_wait_stats": {"waiters": 0, "waits": 0, "wait_time": 0, "max_wait_time": 0},
    }


def statsz(fleet: Fleet, server: Server, now: float) -> dict[str, Any]:
    """The short form of VARZ, with its links; also the server's heartbeat."""
    own = counts.tally(fleet, server)
    traffic = _traffic(own.connections.total() * (int(now) - server.started))
    received = {"msgs": traffic["in_msgs"], "bytes": traffic["in_bytes"]}
    sent = {"msgs": traffic["out_msgs"], "bytes": traffic["out_bytes"]}
    return {
        "start": timestamp(server.started),
        **_process(server),
        "connections": own.connections.total(),
        "total_connections": server.total_connections,
        "active_accounts": len(own.connections.keys() | own.leafnodes.keys()),
        "subscriptions": counts.total(fleet, server),
        "sent": sent,
        "sent_to_clients": sent,
        "received": received,
        "received_from_clients": received,
        "slow_consumers": 0,
        **links.stats(fleet, server),
        "active_servers": len(fleet.ids),
        **({"jetstream": jetstream.statsz(server)} if server.cluster.jetstream else {}),
    }


def _process(server: Server) -> dict[str, Any]:
    connections = len(server.cids)
    return {
        "mem": 20 * _MEBIBYTE + connections * 24_576,
        "cores": _CORES,
        "gomaxprocs": _CORES,
        "cpu": round(connections / 400, 1),
    }


def _traffic(messages: int) -> dict[str, int]:
    """A message a second in and out for each connection, ever since the server started."""
    inbound = {"in_msgs": messages, "in_bytes": messages * _MESSAGE_BYTES}
    inbound |= {"in_client_msgs": messages, "in_client_bytes": messages * _MESSAGE_BYTES}
    return inbound | {name.replace("in_", "out_", 1): figure for name, figure in inbound.items()}


def _cluster(server: Server) -> dict[str, Any]:
    return {
        "name": server.cluster.name,
        "addr": server.host,
        "cluster_port": links.CLUSTER_PORT,
        "auth_timeout": 2,
        "urls": [f"{peer.host}:{links.CLUSTER_PORT}" for peer in server.peers],
        "tls_timeout": 2,
        "pool_size": links.POOL,
    }


_BY_KIND = {"clients": 0, "routes": 0, "gateways": 0, "leafs": 0}
_LIMITS = {
    "ping_interval": 120_000_000_000,
    "ping_max": 2,
    "http_host": "0.0.0.0",
    "http_port": 0,
    "http_base_path": "",
    "https_port": 0,
    "auth_timeout": 2,
    "max_control_line": 4096,
    "max_payload": 1_048_576,
    "max_pending": 67_108_864,
}
