"""Leaf nodes: too far away, too many on one server, or with names that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nats_insights.lab.fleet import names
from nats_insights.lab.fleet.faults.fault import Fault, Look, Names, OfServer
from nats_insights.lab.fleet.faults.links import milliseconds
from nats_insights.lab.fleet.model import Fleet, Server, User

_COSTLY = ("s2_better", "s2_best")


class OfLeaf(Fault[Server]):
    """Of a leaf node connection, by its figures; what is planted connects one leaf node more."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return fleet.running

    def truth(self, look: Look) -> Iterator[Names]:
        for server in look.servers:
            for row in _leafs(look, server):
                if self.holds(row):
                    yield server.cluster.name, server.name, row["account"], row["name"]

    def holds(self, row: dict[str, Any]) -> bool:
        raise NotImplementedError


class LeafName(OfLeaf, code="LEAF_001"):
    """A name of two words, or of one with a hyphen."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _connect(fleet, place, "far away" if over else "far-away")

    def holds(self, row: dict[str, Any]) -> bool:
        return " " in row["name"]


class LeafRtt(OfLeaf, code="LEAF_002"):
    """A round trip of 350 ms, or hardly less."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _connect(fleet, place, "far", rtt="350ms" if over else "349.9ms")

    def holds(self, row: dict[str, Any]) -> bool:
        return milliseconds(row["rtt"]) >= 350


class LeafSubscriptions(OfLeaf, code="LEAF_003"):
    """Twenty thousand subscriptions, or one less."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        fleet.open(place, _leaf("wide"), subscriptions=20_000 if over else 19_999)

    def holds(self, row: dict[str, Any]) -> bool:
        return bool(row["subscriptions"] >= 20_000)


class LeafUncompressed(OfLeaf, code="OPT_SYS_006"):
    """Not compressed over ten milliseconds, or hardly less."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _connect(fleet, place, "plain", compression="off", rtt="10ms" if over else "9.9ms")

    def holds(self, row: dict[str, Any]) -> bool:
        return row["compression"] == "off" and milliseconds(row["rtt"]) >= 10


class CostlyCompression(OfServer, code="OPT_SYS_017"):
    """Twenty leaf nodes that are compressed as well as can be, or one less, on a busy server."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("VARZ", {"cpu": 480.0})
        for _ in range(20 if over else 19):
            _connect(fleet, place, "dense", compression="s2_best")

    def holds(self, look: Look, server: Server) -> bool:
        said = look.varz(server)
        costly = [row for row in _leafs(look, server) if row["compression"] in _COSTLY]
        return len(costly) >= 20 and said["cpu"] >= 60 * said["cores"]


class LeafHotspot(OfServer, code="OPT_BALANCE_902"):
    """Ten leaf nodes on one hub of several, or nine."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [one for one in fleet.running if len(one.cluster.running) > 2]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        for server in place.cluster.running:
            server.say("VARZ", {"leaf": {"host": "0.0.0.0", "port": 7422}})
        wanted = 10 if over else 9
        held = sum(row.user.kind == "leaf" for row in fleet.connections(place))
        fleet.open(place, _leaf("site"), max(0, wanted - held))

    def holds(self, look: Look, server: Server) -> bool:
        hubs = [one for one in server.cluster.running if look.varz(one)["leaf"].get("port")]
        accepted = [len(_leafs(look, one)) for one in hubs]
        own = len(_leafs(look, server)) if server in hubs else 0
        return own >= 10 and own * len(hubs) >= 2 * sum(accepted)


def _leafs(look: Look, server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = look.said(server, "LEAFZ")["leafs"]
    return rows


def _leaf(program: str) -> User:
    return User(account=names.account(0), name=program, kind="leaf", program=program)


def _connect(fleet: Fleet, server: Server, program: str, **figures: Any) -> None:
    """Connects a leaf node, of which its hub says this."""
    fleet.open(server, _leaf(program))
    # As LEAFZ names it.
    server.say("LEAFZ", {"leafs": {f"{program}-{server.cids[-1]}": figures}})
