"""Encodes what a simulated server answers to a request, as real servers spell it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import Struct

from nats_insights.lab.fleet import accounts, connz, health, jetstream, links, splice
from nats_insights.lab.fleet.model import Fleet, Server
from nats_insights.lab.fleet.request import (
    ConnzOptions,
    HealthzOptions,
    JszOptions,
    Options,
    QueueOptions,
    RaftzOptions,
    Refused,
    Request,
    SubszOptions,
)
from nats_insights.lab.fleet.rows import timestamp
from nats_insights.lab.fleet.said import altered
from nats_insights.lab.fleet.subsz import subsz
from nats_insights.lab.fleet.varz import statsz, varz

VERSION = "2.15.1"
_JETSTREAM_FLAGS = 7
FEATURE_FLAGS = {
    "js_ack_fc_v2": False,
    "js_api_reply_v2": False,
    "js_raft_delete_range": True,
    "js_snapshot_sources": False,
}


class Reply(Struct, frozen=True):
    """One reply in two parts: JSON made just now, and rows kept compressed."""

    beginning: bytes
    rest: splice.Packed | None = None
    compressible: bool = True

    def plain(self) -> bytes:
        return self.beginning + (splice.unpack(self.rest) if self.rest else b"")

    def encoded(self, encoding: str) -> tuple[bytes, bytes]:
        """The header block and the body, in the encoding that was asked for."""
        if not encoding or not self.compressible:
            return b"", self.plain()
        body = splice.gzip(self.beginning, self.rest) if encoding == "gzip" else self.plain()
        return f"NATS/1.0\r\nContent-Encoding: {encoding}\r\n\r\n".encode(), body


def reply(fleet: Fleet, server: Server, request: Request) -> Reply | None:
    """What this running server answers; None when it would stay silent."""
    now = fleet.clock() + server.ahead
    if request.endpoint == "IDZ":
        return Reply(
            _json({"name": server.name, "host": server.host, "id": server.id}), None, False
        )
    if request.problem is None and not request.options.admits(server):
        return None
    own = _server_info(server, now)
    try:
        if request.problem is not None:
            raise request.problem
        if request.endpoint == "STATSZ":
            return Reply(_json({"server": own, "statsz": _stats(fleet, server, now)}), None, False)
        if request.endpoint in _LONG:
            return _LONG[request.endpoint](fleet, server, request.options, own, now)
        data = told(fleet, server, request.endpoint, request.options, now)
    except Refused as refused:
        return Reply(_json({"server": own, **_error(refused)}), compressible=False)
    if data is None:
        return None
    if request.endpoint not in _BARE:
        data = {"server_id": server.id, "now": timestamp(now)} | data
    return Reply(_json({"server": own, "data": data}))


def told(
    fleet: Fleet, server: Server, endpoint: str, options: Options, now: float
) -> dict[str, Any] | None:
    """The data of a reply that is not long, with what the server says otherwise."""
    data = _DATA[endpoint](fleet, server, options, now)
    return data and altered(data, server.said.get(endpoint, {}), now)


def heartbeat(fleet: Fleet, server: Server) -> bytes:
    """The STATSZ that a server says by itself."""
    now = fleet.clock() + server.ahead
    return _json({"server": _server_info(server, now), "statsz": _stats(fleet, server, now)})


def _stats(fleet: Fleet, server: Server, now: float) -> dict[str, Any]:
    """STATSZ, whose figures are those of VARZ."""
    stats = statsz(fleet, server, now)
    said = server.said.get("VARZ", {})
    return altered(stats, {key: part for key, part in said.items() if key in stats}, now)


def farewell(fleet: Fleet, server: Server) -> bytes:
    """The body of SHUTDOWN and LAMEDUCK events: the bare server object."""
    return _json(_server_info(server, fleet.clock()))


def _connz(
    fleet: Fleet, server: Server, options: Options, own: dict[str, Any], now: float
) -> Reply:
    data, rest = connz.page(fleet, server, cast(ConnzOptions, options), now)
    return _joined(own, data, rest, connz.END)


def _jsz(
    fleet: Fleet, server: Server, options: Options, own: dict[str, Any], now: float
) -> Reply | None:
    asked = cast(JszOptions, options)
    if asked.leader_only and not jetstream.leads_meta(server):
        return None
    data, rest = jetstream.jsz(server, asked, now)
    return _joined(own, data, rest, jetstream.jsz_end(server))


def _raftz(
    fleet: Fleet, server: Server, options: Options, own: dict[str, Any], now: float
) -> Reply:
    rest = jetstream.raftz(server, cast(RaftzOptions, options))
    return _joined(own, {}, rest, jetstream.RAFTZ_END)


def _joined(
    own: dict[str, Any], data: dict[str, Any], rest: splice.Packed | None, end: bytes
) -> Reply:
    """A reply whose last part, with the `end` of the whole, is kept compressed."""
    whole = _json({"server": own, "data": data})
    return Reply(whole) if rest is None else Reply(whole.removesuffix(end), rest)


def _server_info(server: Server, now: float) -> dict[str, Any]:
    server.seq += 1
    own = {
        "name": server.name,
        "host": server.host,
        "id": server.id,
        "cluster": server.cluster.name,
        "ver": VERSION,
        "feature_flags": FEATURE_FLAGS,
        "jetstream": bool(server.cluster.jetstream),
        "flags": _JETSTREAM_FLAGS if server.cluster.jetstream else 0,
        "seq": server.seq,
        "time": timestamp(now),
    }
    return altered(own, server.said.get("SERVER", {}), now)


def _error(refused: Refused) -> dict[str, Any]:
    error = {"error": {"code": refused.code, "description": refused.description}}
    return error if refused.code == 400 else {"data": None} | error


_json = msgspec.json.Encoder().encode
_DATA: dict[str, Callable[[Fleet, Server, Options, float], dict[str, Any] | None]] = {
    "VARZ": lambda fleet, server, _, now: varz(fleet, server, now, VERSION, FEATURE_FLAGS),
    "SUBSZ": lambda fleet, server, asked, _: subsz(fleet, server, cast(SubszOptions, asked)),
    "ROUTEZ": lambda fleet, server, _, now: links.routez(fleet, server, now),
    "LEAFZ": lambda fleet, server, _, now: links.leafz(fleet, server),
    "GATEWAYZ": lambda fleet, server, _, now: links.gatewayz(fleet, server, now),
    "ACCOUNTZ": accounts.accountz,
    "STATZ": accounts.statz,
    "HEALTHZ": lambda _, server, asked, __: health.healthz(server, cast(HealthzOptions, asked)),
    "IPQUEUESZ": lambda _, server, asked, __: health.ipqueuesz(server, cast(QueueOptions, asked)),
}
_LONG: dict[str, Callable[[Fleet, Server, Options, dict[str, Any], float], Reply | None]] = {
    "CONNZ": _connz,
    "JSZ": _jsz,
    "RAFTZ": _raftz,
}
# Their data tells neither of the server nor of the time.
_BARE = ("HEALTHZ", "IPQUEUESZ")
