"""Figures of single servers that are too high, and settings that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from statistics import median
from typing import Any

from nats_insights.lab.fleet import counts
from nats_insights.lab.fleet.faults.fault import (
    Fault,
    Look,
    Names,
    OfCluster,
    OfJetStream,
    OfServer,
)
from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Cluster, Connection, Fleet, Server
from nats_insights.lab.fleet.said import in_days

_GIBIBYTE = 1 << 30
_MAX_MEMORY, _MAX_STORAGE = 16 * _GIBIBYTE, 512 * _GIBIBYTE
_OTHER_VERSION = "2.15.0"


class CpuHigh(OfServer, code="SERVER_003"):
    """Four fifths of eight cores."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("VARZ", {"cpu": 640.0 if over else 639.9})

    def holds(self, look: Look, server: Server) -> bool:
        said = look.varz(server)
        return bool(said["cpu"] >= 80 * said["cores"])


class MemoryNearLimit(OfServer, code="SERVER_906"):
    """As much memory as GOMEMLIMIT."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        limit = _GIBIBYTE // 2
        place.say("VARZ", {"gomemlimit": limit, "mem": limit if over else limit - 1})

    def holds(self, look: Look, server: Server) -> bool:
        said = look.varz(server)
        return "gomemlimit" in said and said["mem"] >= said["gomemlimit"]


class MemoryOutlier(OfServer, code="CLUSTER_001"):
    """A gibibyte, where the others of the cluster have little."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [one for one in fleet.running if len(one.cluster.running) > 1]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("VARZ", {"mem": _GIBIBYTE if over else _GIBIBYTE - 1})

    def holds(self, look: Look, server: Server) -> bool:
        used = [look.varz(one)["mem"] for one in server.cluster.running]
        own = look.varz(server)["mem"]
        return len(used) > 1 and own >= _GIBIBYTE and 2 * own * len(used) > 3 * sum(used)


class HaAssetsHigh(OfJetStream, code="CLUSTER_003"):
    """A thousand Raft groups."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _stats(place, ha_assets=1000 if over else 999)

    def of(self, config: dict[str, Any], stats: dict[str, Any]) -> bool:
        return bool(stats["ha_assets"] >= 1000)


class StorageNearLimit(OfJetStream, code="SERVER_019"):
    """Nine tenths of max_file_store."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _stats(place, storage=_MAX_STORAGE * 9 // 10 + over)

    def of(self, config: dict[str, Any], stats: dict[str, Any]) -> bool:
        return bool(10 * stats["storage"] >= 9 * config["max_storage"])


class MemoryPressure(OfJetStream, code="SERVER_005"):
    """Nine tenths of max_memory_store."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _stats(place, memory=_MAX_MEMORY * 9 // 10 + over)

    def of(self, config: dict[str, Any], stats: dict[str, Any]) -> bool:
        return bool(10 * stats["memory"] >= 9 * config["max_memory"])


class StoragePressure(OfJetStream, code="SERVER_017"):
    """Streams reserve all of max_file_store, and a byte more."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _stats(place, reserved_storage=_MAX_STORAGE + over)

    def of(self, config: dict[str, Any], stats: dict[str, Any]) -> bool:
        return bool(stats["reserved_storage"] > config["max_storage"])


class ApiPending(OfJetStream, code="JETSTREAM_005"):
    """A thousand requests wait, and one more."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        _stats(place, api={"inflight": 1000 + over})

    def of(self, config: dict[str, Any], stats: dict[str, Any]) -> bool:
        return bool(stats["api"].get("inflight", 0) > 1000)


class DomainWhitespace(OfJetStream, code="SERVER_006"):
    """A domain of two words, or of one with a hyphen."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        domain = "far away" if over else "far-away"
        place.say("VARZ", {"jetstream": {"config": {"domain": domain}}})

    def of(self, config: dict[str, Any], stats: dict[str, Any]) -> bool:
        return " " in config.get("domain", "")


class AuthenticationNotRequired(OfServer, code="SERVER_007"):
    """Whoever reaches the port may come in; on loopback nobody else reaches it."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("VARZ", {"auth_required": False, "host": place.host if over else "127.0.0.1"})

    def holds(self, look: Look, server: Server) -> bool:
        said = look.varz(server)
        return not said["auth_required"] and said["host"] != "127.0.0.1"


class ConnectionCountHigh(OfServer, code="SERVER_011"):
    """Four fifths of the connections that it accepts."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [server for server in fleet.running if server.cids]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        held = counts.tally(fleet, place).connections.total()
        place.max_connections = held * 5 // 4 + (not over)

    def holds(self, look: Look, server: Server) -> bool:
        said = look.varz(server)
        return bool(0 < 8 * said["max_connections"] <= 10 * said["connections"])


class ClientsNotAccepted(OfServer, code="SERVER_907"):
    """A `max_connections` of -1; 0 is told by servers that have no limit."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.max_connections = -1 if over else 0

    def holds(self, look: Look, server: Server) -> bool:
        return bool(look.varz(server)["max_connections"] < 0)


class CertificateExpiry(Fault[Server], code="SERVER_902"):
    """Thirty days to the end of the certificate for clients, less or more a minute."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return fleet.running

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        minute = 1 / 1440
        place.say("VARZ", {"tls_cert_not_after": in_days(30 - minute if over else 30 + minute)})

    def truth(self, look: Look) -> Iterator[Names]:
        for server in look.servers:
            ends = look.varz(server).get("tls_cert_not_after")
            if ends and _seconds(ends) - look.now - server.ahead < 30 * 86_400:
                yield server.cluster.name, server.name, "client"


class ConfigReloaded(OfServer, code="CHANGE_001"):
    """A reload ten minutes ago, a second less or more."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        ago = 599 if over else 601
        place.say("VARZ", {"config_load_time": in_days(-ago / 86_400)})

    def holds(self, look: Look, server: Server) -> bool:
        loaded = _seconds(look.varz(server)["config_load_time"])
        started = _seconds(look.varz(server)["start"])
        return bool(loaded != started and look.now + server.ahead - loaded <= 600)


class ClockOffset(OfServer, code="SERVER_904"):
    """Five seconds behind the agent, and a hundredth more or less."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.ahead = -5.01 if over else -4.99

    def holds(self, look: Look, server: Server) -> bool:
        return abs(server.ahead) >= 5


class VersionMismatch(OfCluster, code="SERVER_002"):
    """One server of a cluster runs another version, or all of them do."""

    def plant(self, fleet: Fleet, place: Cluster, over: bool) -> None:
        for server in place.running[:1] if over else place.running:
            server.say("VARZ", {"version": _OTHER_VERSION})
            server.say("SERVER", {"ver": _OTHER_VERSION})

    def holds(self, look: Look, cluster: Cluster) -> bool:
        return len({look.varz(server)["version"] for server in cluster.running}) > 1


class ClusterNameWhitespace(OfCluster, code="CLUSTER_004"):
    """The name of a cluster has two words, or one with a hyphen."""

    least = 1

    def plant(self, fleet: Fleet, place: Cluster, over: bool) -> None:
        place.name = f"site{' ' if over else '-'}{place.number}"

    def holds(self, look: Look, cluster: Cluster) -> bool:
        return " " in cluster.name


class NoRoomToLoseAServer(OfCluster, code="CLUSTER_901"):
    """The connections of all servers are four fifths of the limits of all but one."""

    def plant(self, fleet: Fleet, place: Cluster, over: bool) -> None:
        held = [counts.tally(fleet, server).connections for server in place.running]
        connections = sum(one.total() for one in held)
        most = connections * 100 // (80 * (len(place.running) - 1))
        for server in place.running:
            server.max_connections = max(1, most) if over else most + 1

    def holds(self, look: Look, cluster: Cluster) -> bool:
        said = [look.varz(server) for server in cluster.running]
        limits = [int(one["max_connections"]) for one in said]
        held = sum(int(one["connections"]) for one in said)
        return min(limits) > 0 and 10 * held >= 8 * (sum(limits) - max(limits))


class FanoutAnomaly(OfServer, code="OPT_SYS_011"):
    """A subject with ten thousand subscriptions."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        place.say("SUBSZ", {"max_fanout": 10_000 if over else 9_999})

    def holds(self, look: Look, server: Server) -> bool:
        said = look.said(server, "SUBSZ")
        return bool(said["max_fanout"] >= max(10_000, 10 * said["avg_fanout"]))


class ConnectionColdspot(OfServer, code="OPT_BALANCE_901"):
    """Half the connections of a usual server of the cluster."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [one for one in fleet.running if _usual(fleet, one) >= 20]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        others = [_clients(fleet, one) for one in place.cluster.running if one is not place]
        _keep(fleet, place, int(median([0, *others]) // 2) + (not over))

    def holds(self, look: Look, server: Server) -> bool:
        usual = _usual(look.fleet, server)
        return usual >= 20 and 2 * _clients(look.fleet, server) <= usual


class ServerUnderused(OfServer, code="OPT_IDLE_001"):
    """Nine connections, or ten, and an idle processor."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [one for one in fleet.running if not one.streams]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        leafs = counts.tally(fleet, place).leafnodes.total()
        _keep(fleet, place, (9 if over else 10) - leafs)

    def holds(self, look: Look, server: Server) -> bool:
        said = look.varz(server)
        stored = said["jetstream"] and said["jetstream"]["stats"]["storage"]
        idle = said["cpu"] < 5 * said["cores"]
        held = _clients(look.fleet, server) + int(said["leafnodes"])
        return bool(idle and not stored and held < 10)


def _stats(server: Server, **figures: Any) -> None:
    server.say("VARZ", {"jetstream": {"stats": figures}})


def _clients(fleet: Fleet, server: Server) -> int:
    """Its connections without those of leaf nodes and of the system account."""
    return sum(_ordinary(row) for row in fleet.connections(server))


def _keep(fleet: Fleet, server: Server, count: int) -> None:
    """Closes all but so many of these."""
    cids = [row.cid for row in fleet.connections(server) if _ordinary(row)]
    for cid in cids[max(0, count) :]:
        fleet.close(server, cid)


def _ordinary(row: Connection) -> bool:
    return row.user.kind != "leaf" and row.user.account != SYSTEM_ACCOUNT


def _usual(fleet: Fleet, server: Server) -> float:
    """The median of its cluster, 0 where that has fewer than three servers."""
    held = [_clients(fleet, one) for one in server.cluster.running]
    return median(held) if len(held) >= 3 else 0.0


def _seconds(said: str) -> float:
    """A moment that a server tells, in Unix seconds."""
    return datetime.fromisoformat(said).timestamp()
