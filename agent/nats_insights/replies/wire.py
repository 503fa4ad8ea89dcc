"""Replies as servers spell them: every field optional, unknown ones skipped.

Only what the agent reads is declared. `jwt` never is: it can hold a secret. Each figure has bounds,
and a reply or a row with a figure beyond them cannot be read: sums, quotients and dates that are
made of what was read never overflow.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

# What is longer is no name that many servers have in common.
_LONGEST_SHARED = 256
# An id is a token of the subject by which its server is asked. Servers use their public key, 56
# letters and digits; a long id would exceed the longest line that a server reads, 4,096 bytes.
_is_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch

# How many of something there are now; servers keep none of these in more than 32 bits.
Count = Annotated[int, Meta(ge=0, lt=2**32)]
# Bytes, and how many of something there ever were. JSON has whole numbers up to here everywhere.
Counter = Annotated[int, Meta(ge=0, lt=2**53)]
# What a configuration says: it may be negative, and as large as a server can read.
Limit = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Rate = Annotated[float, Meta(ge=0, lt=2**53)]
# Times without a zone cannot be subtracted from those with one.
Time = Annotated[datetime, Meta(tz=True)]


class Malformed(Exception):
    """A reply that cannot be read, in words that hold nothing of its content."""


class ServerInfo(Struct, frozen=True, gc=False):
    """Who answered: the `server` object of every reply."""

    name: str = ""
    id: str = ""
    cluster: str = ""
    ver: str = ""


class Varz(Struct, frozen=True, gc=False):
    """VARZ: one server's own figures."""

    start: Time | None = None
    now: Time | None = None
    config_load_time: str = ""
    connections: Count = 0
    total_connections: Counter = 0
    max_connections: Limit = 0
    leafnodes: Count = 0
    subscriptions: Count = 0
    max_pending: Limit = 0
    system_account: str = "$SYS"


class Statsz(Struct, frozen=True, gc=False):
    """STATSZ: the short form of VARZ, which is also the server's heartbeat."""

    start: Time | None = None
    connections: Count = 0
    total_connections: Counter = 0
    active_servers: Count = 0


class Subsz(Struct, frozen=True, gc=False):
    """SUBSZ: the subscription table, routed interest included."""

    num_subscriptions: Count = 0
    cache_hit_rate: Rate = 0.0
    max_fanout: Count = 0
    avg_fanout: Rate = 0.0


class Routez(Struct, frozen=True, gc=False):
    """ROUTEZ: names of the other servers of the cluster by id, and the interest routes brought."""

    peers: dict[str, str] = {}
    subscriptions: Count = 0


class Gatewayz(Struct, frozen=True, gc=False):
    """GATEWAYZ: ids of the servers of other clusters that this one has a connection with."""

    peers: frozenset[str] = frozenset()


class Leafz(Struct, frozen=True, gc=False):
    """LEAFZ: names of the servers at the other ends, and the interest that came over leaf nodes."""

    peers: frozenset[str] = frozenset()
    subscriptions: Count = 0


class Accountz(Struct, frozen=True):
    """ACCOUNTZ: the names of the accounts loaded on this server."""

    accounts: list[str] | None = None
    system_account: str = ""


class Statz(Struct, frozen=True, gc=False):
    """Account statistics of one server: its own clients of each account that has any."""

    connections: dict[str, int] = {}


class Connection(Struct, gc=False):
    """One row of CONNZ: all that a fold may ask for. Decoders hold the asked fields only."""

    cid: Counter = 0
    kind: str = ""
    account: str = "$G"
    authorized_user: str = ""
    subscriptions: Count = 0
    name: str = ""
    ip: str = ""
    lang: str = ""
    version: str = ""
    pending_bytes: Counter = 0
    in_msgs: Counter = 0
    out_msgs: Counter = 0
    idle: str = ""
    last_activity: str = ""
    rtt: str = ""
    reason: str = ""


class Page(Struct):
    """One page of CONNZ: how many of its rows could not be read, and its bytes of JSON."""

    server: ServerInfo
    connections: list[Any]
    total: int
    bad: int = 0
    size: int = 0


class _Problem(Struct, frozen=True):
    code: Count = 0
    description: str = ""


def _envelope(data: Any, field: str = "data") -> msgspec.json.Decoder[Any]:
    members: list[Any] = [
        ("server", ServerInfo),
        ("error", _Problem | None, None),
        ("data", data | None, msgspec.field(name=field, default=None)),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Envelope", members))


class _Link(Struct, gc=False):
    remote_id: str = ""
    remote_name: str = ""
    subscriptions: Count = 0


class _Routes(Struct):
    routes: list[_Link] | None = None

    def kept(self) -> Routez:
        links = self.routes or ()
        peers = {link.remote_id: link.remote_name for link in links}
        return Routez(
            {_shared(id): _shared(name) for id, name in peers.items() if _is_id(id)},
            sum([link.subscriptions for link in links]),
        )


class _Leaf(Struct, gc=False):
    name: str = ""
    subscriptions: Count = 0


class _Leafs(Struct):
    leafs: list[_Leaf] | None = None

    def kept(self) -> Leafz:
        links = self.leafs or ()
        peers = frozenset([_shared(link.name) for link in links])
        return Leafz(peers, sum([link.subscriptions for link in links]))


class _Peer(Struct, gc=False):
    name: str = ""


class _Gateway(Struct, gc=False):
    connection: _Peer | None = None


class _Gateways(Struct):
    outbound_gateways: dict[str, _Gateway] | None = None
    inbound_gateways: dict[str, list[_Gateway]] | None = None

    def kept(self) -> Gatewayz:
        links = [*(self.outbound_gateways or {}).values()]
        links += [link for some in (self.inbound_gateways or {}).values() for link in some]
        # The name of the other end of a gateway connection is the id of that server.
        return Gatewayz(
            frozenset([_shared(link.connection.name) for link in links if link.connection])
        )


class _AccountStat(Struct, gc=False):
    acc: str = ""
    conns: Count = 0


class _AccountStats(Struct):
    account_statz: list[_AccountStat] | None = None

    def kept(self) -> Statz:
        return Statz({_shared(one.acc): one.conns for one in self.account_statz or () if one.conns})


def _shared(name: str) -> str:
    """One string for all that are equal: thousands of servers name the same peers and accounts."""
    return name if len(name) > _LONGEST_SHARED else _known(name)


@functools.lru_cache(maxsize=65_536)
def _known(name: str) -> str:
    return name  # sys.intern would keep it for ever in Python 3.12.


_DECODERS = {
    "VARZ": _envelope(Varz),
    "STATSZ": _envelope(Statsz, "statsz"),
    "SUBSZ": _envelope(Subsz),
    "ROUTEZ": _envelope(_Routes),
    "GATEWAYZ": _envelope(_Gateways),
    "LEAFZ": _envelope(_Leafs),
    "ACCOUNTZ": _envelope(Accountz),
    "STATZ": _envelope(_AccountStats),
}
ENDPOINTS = (*_DECODERS, "CONNZ")


def decode(endpoint: str, payload: bytes) -> tuple[ServerInfo, Any]:
    """One reply of any endpoint but CONNZ, as (who, its Struct); Malformed when unreadable."""
    envelope = _decode(_DECODERS[endpoint], payload)
    if envelope.data is None:
        code = envelope.error.code if envelope.error else 0
        raise Malformed(f"{endpoint} answered with error {code} and no data")
    if not _is_id(envelope.server.id):
        raise Malformed(f"{endpoint} of a server without an id")
    kept = getattr(envelope.data, "kept", None)
    return envelope.server, kept() if kept else envelope.data


def decode_event(payload: bytes) -> ServerInfo:
    """Who says goodbye: SHUTDOWN and LAMEDUCK are the bare `server` object of other replies."""
    info: ServerInfo = _decode(_EVENT, payload)
    if not _is_id(info.id):
        raise Malformed("an event without a server id")
    return info


_EVENT = msgspec.json.Decoder(ServerInfo)


class PageDecoder:
    """Reads pages of CONNZ whose rows have `fields` and nothing else."""

    def __init__(self, fields: Iterable[str]) -> None:
        known = {field.name: field for field in msgspec.structs.fields(Connection)}
        chosen = [known[name] for name in fields]
        members = [(field.name, field.type, field.default) for field in chosen]
        row: Any = msgspec.defstruct("Row", members, gc=False)
        data = _data("Data", list[row])
        rough = _data("Rough", list[msgspec.Raw])
        self._page = _envelope(data)
        self._rough = _envelope(rough)
        self._row = msgspec.json.Decoder(row)

    def decode(self, payload: bytes) -> Page:
        """One page. Rows that cannot be read are left out and counted; Malformed if all is lost."""
        try:
            envelope = self._page.decode(payload)
        except Exception:
            return self._row_by_row(payload)
        if envelope.data is None:
            code = envelope.error.code if envelope.error else 0
            raise Malformed(f"CONNZ answered with error {code} and no data")
        rows = envelope.data.connections or []
        return Page(envelope.server, rows, envelope.data.total, size=len(payload))

    def _row_by_row(self, payload: bytes) -> Page:
        envelope = _decode(self._rough, payload)
        if envelope.data is None:
            raise Malformed("CONNZ answered without data")
        rows, bad = [], 0
        for raw in envelope.data.connections or ():
            try:
                rows.append(self._row.decode(raw))
            except Exception:
                bad += 1
        return Page(envelope.server, rows, envelope.data.total, bad, len(payload))


def _data(name: str, rows: Any) -> Any:
    return msgspec.defstruct(name, [("total", Count, 0), ("connections", rows | None, None)])


def _decode(decoder: msgspec.json.Decoder[Any], payload: bytes) -> Any:
    # Beside msgspec's own errors: bad UTF-8, and deep nesting in a field nobody wants.
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Malformed(f"a field is not of its type: {error}") from None
    except Exception:
        raise Malformed(f"not JSON: {len(payload)} bytes") from None
