"""What a fault is, and a look at what simulated servers say, from which the truth is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil
from typing import Any, ClassVar, Generic, TypeVar

from nats_insights.lab.fleet.model import Cluster, Fleet, Server
from nats_insights.lab.fleet.replies import told
from nats_insights.lab.fleet.request import OPTIONS

Names = tuple[str, ...]
P = TypeVar("P")

FAULTS: dict[str, Fault[Any]] = {}

# How the agent asks.
_ASKED: dict[str, dict[str, Any]] = {
    "STATZ": {"include_unused": True},
    "HEALTHZ": {"details": True},
}


class Look:
    """What all servers say now, and said when an agent looked that looks every `step` seconds."""

    def __init__(self, fleet: Fleet, step: float) -> None:
        self.fleet, self.step, self.now = fleet, step, fleet.clock()
        self._said: dict[tuple[str, str, float], dict[str, Any]] = {}

    @property
    def servers(self) -> list[Server]:
        return self.fleet.running

    def said(self, server: Server, endpoint: str, window: float = 0.0) -> dict[str, Any]:
        """The data of a reply, now or at the beginning of a window that ends now."""
        ago = self.seconds(window)
        key = (server.id, endpoint, ago)
        if key not in self._said:
            options = OPTIONS[endpoint](**_ASKED.get(endpoint, {}))
            now = self.now - ago + server.ahead
            self._said[key] = told(self.fleet, server, endpoint, options, now) or {}
        return self._said[key]

    def varz(self, server: Server, window: float = 0.0) -> dict[str, Any]:
        return self.said(server, "VARZ", window)

    def seconds(self, window: float) -> float:
        """How long a window is in truth: it begins with a look."""
        return self.step * ceil(window / self.step)


class Fault(Generic[P]):
    """One condition that a check finds; a subclass of it with a code is one of the FAULTS."""

    code: ClassVar[str] = ""
    # How often it is planted where faults are chosen at random.
    chance: ClassVar[float] = 0.5

    def __init_subclass__(cls, code: str = "") -> None:
        if code:
            cls.code = code
            FAULTS[code] = cls()

    def places(self, fleet: Fleet) -> Iterable[P]:
        """Where it can be planted."""
        raise NotImplementedError

    def plant(self, fleet: Fleet, place: P, over: bool) -> None:
        """Makes the condition true at this place, or, unless `over`, as nearly as can be."""
        raise NotImplementedError

    def truth(self, look: Look) -> Iterator[Names]:
        """The names of each entity of which it is true, whatever was planted."""
        raise NotImplementedError


class ByServer(Fault[P]):
    """What is true of servers, by what each of them says; planted wherever it is."""

    def truth(self, look: Look) -> Iterator[Names]:
        for server in look.servers:
            if self.holds(look, server):
                yield server.cluster.name, server.name

    def holds(self, look: Look, server: Server) -> bool:
        raise NotImplementedError


class OfServer(ByServer[Server]):
    """Of a server, by its own figures."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return fleet.running


class OfJetStream(OfServer):
    """Of a server with JetStream."""

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [server for server in fleet.running if server.cluster.jetstream]

    def holds(self, look: Look, server: Server) -> bool:
        jetstream = look.varz(server)["jetstream"]
        return bool(jetstream) and self.of(jetstream["config"], jetstream["stats"])

    def of(self, config: dict[str, Any], stats: dict[str, Any]) -> bool:
        raise NotImplementedError


class OfCluster(Fault[Cluster]):
    """Of a cluster of two servers or more."""

    least: ClassVar[int] = 2

    def places(self, fleet: Fleet) -> Iterable[Cluster]:
        return [one for one in fleet.clusters if len(one.running) >= self.least]

    def truth(self, look: Look) -> Iterator[Names]:
        for cluster in self.places(look.fleet):
            if self.holds(look, cluster):
                yield (cluster.name,)

    def holds(self, look: Look, cluster: Cluster) -> bool:
        raise NotImplementedError
