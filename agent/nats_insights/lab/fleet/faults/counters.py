"""Counters of single servers and of accounts that grow too fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nats_insights.lab.fleet.faults.fault import Fault, Look, Names, OfServer
from nats_insights.lab.fleet.model import GLOBAL_ACCOUNT, SYSTEM_ACCOUNT, Fleet, Server
from nats_insights.lab.fleet.said import growing

# What an account of which much goes over gateways sends and receives, in bytes per second.
_BUSY = 1 << 20


class SlowLinks(OfServer, code="SERVER_004"):
    """A slow route now and then; or many, all of which were slow long ago."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        count = growing(0.01) if over else 7
        place.say("VARZ", {"slow_consumers": count, "slow_consumer_stats": {"routes": count}})

    def holds(self, look: Look, server: Server) -> bool:
        now, then = (look.varz(server, ago)["slow_consumer_stats"] for ago in (0, 300))
        return any(now[kind] > then[kind] for kind in ("routes", "gateways", "leafs"))


class StaleConnections(OfServer, code="SERVER_012"):
    """Twenty connections went stale, or nineteen; two in a hundred, or more."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("VARZ", {"stale_connections": growing((20 if over else 19) / 900)})

    def holds(self, look: Look, server: Server) -> bool:
        said, then = look.varz(server), look.varz(server, 600)
        lost = said["stale_connections"] - then["stale_connections"]
        held = said["connections"] + said["leafnodes"]
        return bool(lost >= 20 and 100 * lost >= 2 * (lost + held))


class StalledClients(OfServer, code="SERVER_013"):
    """Twenty pauses of publishers per second."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("VARZ", {"stalled_clients": growing(20.01 if over else 19.99)})

    def holds(self, look: Look, server: Server) -> bool:
        return _rate(look, server, "stalled_clients", 300) >= 20


class ConnectionChurn(OfServer, code="SERVER_903"):
    """Ten connections per second end, and as many begin."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("VARZ", {"total_connections": growing(10.01 if over else 9.99)})

    def holds(self, look: Look, server: Server) -> bool:
        opened = _rate(look, server, "total_connections", 30)
        return opened - _rate(look, server, "connections", 30) >= 10


class ApiErrorRate(OfServer, code="JETSTREAM_009"):
    """Half of the requests fail, and a few more."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [server for server in fleet.running if server.cluster.jetstream]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        failing = growing(1.01 if over else 0.99)
        _api(place, total=growing(2.0), errors=failing)

    def holds(self, look: Look, server: Server) -> bool:
        asked, failed = (_asked(look, server, what, 300) for what in ("total", "errors"))
        return asked >= 100 and 2 * failed > asked


class ApiRate(OfServer, code="JETSTREAM_004"):
    """Five hundred requests per second."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [server for server in fleet.running if server.cluster.jetstream]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _api(place, total=growing(500.1 if over else 499.9))

    def holds(self, look: Look, server: Server) -> bool:
        return _asked(look, server, "total", 60) >= 500 * look.seconds(60)


class SubscriptionChurn(OfServer, code="OPT_SYS_012"):
    """Two thousand subscriptions per second are made and ended."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        each = growing(1000.1 if over else 999.9)
        place.say("SUBSZ", {"num_inserts": each, "num_removes": each})

    def holds(self, look: Look, server: Server) -> bool:
        now, then = (look.said(server, "SUBSZ", ago) for ago in (0, 300))
        changed = sum(now[what] - then[what] for what in ("num_inserts", "num_removes"))
        return bool(changed >= 2000 * look.seconds(300))


class SubscriptionGrowth(OfServer, code="OPT_SYS_022"):
    """A thousand subscriptions more in the window, and as many as there were; or a few less."""

    WINDOW = 3600.0

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        more = 20_000 if over else 990
        place.say("VARZ", {"subscriptions": growing(more / self.WINDOW, since=fleet.clock())})

    def holds(self, look: Look, server: Server) -> bool:
        local, before = (_local(look, server, ago) for ago in (0, self.WINDOW))
        held, earlier = (look.varz(server, ago)["connections"] for ago in (0, self.WINDOW))
        level = 20 * abs(held - earlier) < earlier
        return level and local - before >= 1000 and 100 * (local - before) >= 20 * before


class SlowAccounts(Fault[Server], code="ACCOUNTS_002"):
    """A server cuts off clients of an account now and then; or did so long ago."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [server for server in fleet.running if _an_account(fleet, server)]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        row = {"slow_consumers": growing(0.01) if over else 7}
        place.say("STATZ", {"account_statz": {_an_account(fleet, place): row}})

    def truth(self, look: Look) -> Iterator[Names]:
        slow = {
            row["acc"]
            for server in look.servers
            for row in look.said(server, "STATZ")["account_statz"]
            if row["slow_consumers"] > _row(look, server, row["acc"], 300)["slow_consumers"]
        }
        yield from ((account,) for account in slow)


class GatewayTraffic(Fault[Server], code="OPT_PLACE_003"):
    """Three tenths of the bytes of an account go over gateways."""

    WINDOW = 3600.0

    def places(self, fleet: Fleet) -> Iterable[Server]:
        linked = len(fleet.clusters) > 1
        return [server for server in fleet.running if linked and _an_account(fleet, server)]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        crossing = growing(_BUSY * (0.301 if over else 0.299))
        sent = {"msgs": growing(1000), "bytes": growing(_BUSY), "gateways": {"bytes": crossing}}
        place.say("STATZ", {"account_statz": {_an_account(fleet, place): {"sent": sent}}})

    def truth(self, look: Look) -> Iterator[Names]:
        accounts = {
            row["acc"] for one in look.servers for row in look.said(one, "STATZ")["account_statz"]
        }
        for account in accounts:
            moved = sum(_moved(look, server, account) for server in look.servers)
            crossed = sum(_moved(look, server, account, "gateways") for server in look.servers)
            if moved >= 1 << 30 and 10 * crossed >= 3 * moved:
                yield (account,)


def _rate(look: Look, server: Server, figure: str, window: float) -> float:
    grown = look.varz(server)[figure] - look.varz(server, window)[figure]
    return float(grown / look.seconds(window))


def _api(server: Server, **figures: Any) -> None:
    server.say("VARZ", {"jetstream": {"stats": {"api": figures}}})


def _asked(look: Look, server: Server, what: str, window: float) -> int:
    """How much a counter of the JetStream API grew."""
    now, then = (look.varz(server, ago)["jetstream"] for ago in (0, window))
    return int(now["stats"]["api"][what] - then["stats"]["api"][what]) if now else 0


def _local(look: Look, server: Server, window: float) -> int:
    """The subscriptions of the server itself: those that no link told it of."""
    links = look.said(server, "ROUTEZ")["routes"] + look.said(server, "LEAFZ")["leafs"]
    told = sum(link["subscriptions"] for link in links)
    return int(look.varz(server, window)["subscriptions"] - told)


def _an_account(fleet: Fleet, server: Server) -> str:
    """The first ordinary account that has a client on it, "" if there is none."""
    for row in fleet.connections(server):
        if row.user.kind != "leaf" and row.user.account not in (SYSTEM_ACCOUNT, GLOBAL_ACCOUNT):
            return row.user.account
    return ""


def _row(look: Look, server: Server, account: str, window: float) -> dict[str, Any]:
    rows = look.said(server, "STATZ", window)["account_statz"]
    return next((row for row in rows if row["acc"] == account), {})


def _moved(look: Look, server: Server, account: str, over: str = "") -> int:
    """Bytes that it sent and received for an account, in all or over some links."""
    total = 0
    for sign, window in ((1, 0.0), (-1, GatewayTraffic.WINDOW)):
        for way in ("sent", "received"):
            said = _row(look, server, account, window).get(way, {})
            said = said.get(over, {}) if over else said
            total += sign * int(said.get("bytes", 0))
    return total
