"""Asks the servers of a local system whether they are connected to one another."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from nats_insights.lab.servers import conf
from nats_insights.lab.servers.server import Server

_REPLY_SECONDS = 0.1
# One connection for each of three pools and one for the system account, since server 2.10.
_ROUTES_PER_PEER = 4


def joined(plan: conf.Plan, servers: Mapping[str, Server]) -> bool:
    """Whether all that run and are not frozen have their routes, gateways and leaves."""
    awake = [name for name, server in servers.items() if server.running and not server.frozen]
    if not awake:
        return True
    asked = servers[awake[0]]
    replies = _ask(asked, "STATSZ", len(awake))
    return (
        len(replies) >= len(awake)
        and all(_has_met(plan, reply, awake) for reply in replies)
        and _leaves_joined(plan, asked, awake)
    )


def _has_met(plan: conf.Plan, reply: dict[str, Any], awake: Collection[str]) -> bool:
    """Whether the server of this reply has met the others; its cluster's leader too."""
    name, home, statsz = reply["server"]["name"], reply["server"].get("cluster"), reply["statsz"]
    # A server that is in no cluster calls itself one, and a leaf may bear any name.
    if not home or plan.places.get(name) != home:
        return True
    clusters = {plan.places[other] for other in awake} - {home, ""}
    peers = {peer for peer in plan.clusters[home] if peer in awake} - {name}
    if plan.jetstream and not _leader(statsz):
        return False
    return _linked(statsz, peers, clusters)


def _leaves_joined(plan: conf.Plan, asked: Server, awake: Collection[str]) -> bool:
    """Whether each leaf that runs has its connections to its hub, as seen from both ends."""
    pairs = [leaf for leaf, hub in plan.leaves.items() if leaf in awake and hub in awake]
    if not pairs:
        return True
    found = [len(r["data"].get("leafs") or ()) for r in _ask(asked, "LEAFZ", len(awake))]
    return sum(found) >= 2 * len(conf.LEAF_USERS) * len(pairs)


def _linked(statsz: dict[str, Any], peers: Collection[str], clusters: Collection[str]) -> bool:
    """Whether a server has all its routes to these peers, and gateways to these clusters."""
    routes = Counter(route["name"] for route in statsz.get("routes") or ())
    gateways = {gateway["name"] for gateway in statsz.get("gateways") or ()}
    return all(routes[peer] >= _ROUTES_PER_PEER for peer in peers) and gateways >= set(clusters)


def _leader(statsz: dict[str, Any]) -> str:
    """The leader of JetStream's meta group as a server knows it; empty if it knows none."""
    return str(((statsz.get("jetstream") or {}).get("meta") or {}).get("leader") or "")


def _ask(server: Server, endpoint: str, replies: int) -> list[dict[str, Any]]:
    """What the servers of the system say to `$SYS.REQ.SERVER.PING.<endpoint>`.

    By a socket of its own: this is asked while no event loop runs, or inside one. Ends when
    there are enough replies, or when no other comes.
    """
    commands = f"SUB here 1\r\nPUB $SYS.REQ.SERVER.PING.{endpoint} here 0\r\n\r\n"
    said: list[dict[str, Any]] = []
    address = (server.host.address, server.port)
    with (
        suppress(OSError, msgspec.DecodeError),
        socket.create_connection(address, timeout=_REPLY_SECONDS) as sock,
        sock.makefile("rb") as lines,
    ):
        login = server.login("root").connect(lines.readline().removeprefix(b"INFO "))
        hello = msgspec.json.encode({"verbose": False, **login}).decode()
        sock.sendall(f"CONNECT {hello}\r\n{commands}".encode())
        while len(said) < replies and (line := lines.readline()):
            if line.startswith(b"MSG "):
                said.append(msgspec.json.decode(lines.read(int(line.split()[-1]) + 2)))
    return said
