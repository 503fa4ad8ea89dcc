"""Lets another process see and change a simulated fleet, by requests on `FLEET.*`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from nats_insights.lab.fleet.misbehave import OBEDIENT, Misbehaviour
from nats_insights.lab.fleet.model import Server
from nats_insights.lab.fleet.plant_streams import recover, trouble
from nats_insights.lab.fleet.truth import Fact, stream_truth, truth

if TYPE_CHECKING:
    from nats_insights.lab.fleet.serve import Service

PREFIX = "FLEET."
SUBJECT = PREFIX + "*"


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request: the servers concerned, by name or as a random share, and how."""

    servers: list[str] = []
    share: float = 0.0
    closed: int = 1
    opened: int = 1
    misbehaviour: Misbehaviour = OBEDIENT
    lagging_replicas: int = 0
    leaderless_streams: int = 0
    unacknowledging_consumers: int = 0


def perform(service: Service, subject: str, body: bytes) -> bytes:
    """Does what `subject` says, and returns the JSON to answer; `error` says why it was not."""
    verb = _VERBS.get(subject.removeprefix(PREFIX))
    if verb is None:
        return msgspec.json.encode({"error": f"no such request; there are {', '.join(_VERBS)}"})
    try:
        order = msgspec.json.decode(body, type=Order) if body else Order()
        answer = verb(service, order)
    except msgspec.MsgspecError as error:
        answer = {"error": str(error)}
    except KeyError as error:
        answer = {"error": f"no such server: {error.args[0]}"}
    return msgspec.json.encode(answer)


def _churn(service: Service, order: Order) -> dict[str, Any]:
    touched = service.fleet.churn(order.share, closed=order.closed, opened=order.opened)
    return _named(touched)


def _misbehave(service: Service, order: Order) -> dict[str, Any]:
    servers = _servers(service, order)
    service.misbehave(servers, order.misbehaviour)
    return _named(servers)


def _kill(service: Service, order: Order) -> dict[str, Any]:
    servers = _servers(service, order)
    for server in servers:
        service.fleet.kill(server)
    return _named(servers)


def _restart(service: Service, order: Order) -> dict[str, Any]:
    servers = _servers(service, order)
    for server in servers:
        service.fleet.restart(server)
    return _named(servers)


def _size(service: Service, order: Order) -> dict[str, Any]:
    servers = service.fleet.running
    return {"servers": len(servers), "connections": sum(len(server.cids) for server in servers)}


def _load(service: Service, order: Order) -> Struct:
    return service.load


def _truth(service: Service, order: Order) -> list[Fact]:
    return sorted(truth(service.fleet))


def _stream_truth(service: Service, order: Order) -> list[Fact]:
    return sorted(stream_truth(service.fleet))


def _trouble(service: Service, order: Order) -> list[Fact]:
    trouble(
        service.fleet,
        lagging_replicas=order.lagging_replicas,
        leaderless_streams=order.leaderless_streams,
        unacknowledging_consumers=order.unacknowledging_consumers,
    )
    return _stream_truth(service, order)


def _recover(service: Service, order: Order) -> list[Fact]:
    recover(service.fleet)
    return _stream_truth(service, order)


def _servers(service: Service, order: Order) -> list[Server]:
    named = [service.fleet.server(name) for name in order.servers]
    return named + (service.fleet.some(order.share) if order.share else [])


def _named(servers: list[Server]) -> dict[str, Any]:
    return {"servers": [server.name for server in servers]}


_VERBS: dict[str, Callable[[Service, Order], Any]] = {
    "SIZE": _size,
    "LOAD": _load,
    "TRUTH": _truth,
    "CHURN": _churn,
    "MISBEHAVE": _misbehave,
    "KILL": _kill,
    "RESTART": _restart,
    "STREAM_TRUTH": _stream_truth,
    "TROUBLE": _trouble,
    "RECOVER": _recover,
}
