"""CONNZ: connections of one server, page by page.

`jwt` can hold a secret: pages do not read it, and other replies keep only the name that it claims.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from nats_insights.facts import Names
from nats_insights.replies.claims import NOBODY, Claimed
from nats_insights.replies.durations import seconds
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import (
    Bytes,
    Count,
    Counter,
    Limit,
    Malformed,
    Part,
    Reply,
    ServerInfo,
    Time,
    absent,
    envelope,
    parse,
    read,
    since,
    told,
)
from nats_insights.replies.varz import Proxy


class PeerCertificate(Struct, gc=False):
    """A certificate that a client presented."""

    subject: str = ""
    spki_sha256: str = ""
    cert_sha256: str = ""


class Connection(Part, gc=False):
    """One row with all fields. The decoders of pages read the requested fields only.

    `rtt`, `uptime` and `idle` are as Go prints durations.
    """

    cid: Counter = 0
    kind: str = ""
    type: str = ""
    ip: str = ""
    port: Limit = 0
    start: str = ""
    last_activity: str = ""
    stop: str = ""
    reason: str = ""
    rtt: str = ""
    uptime: str = ""
    idle: str = ""
    pending_bytes: Counter = 0
    in_msgs: Counter = 0
    out_msgs: Counter = 0
    in_bytes: Bytes = 0
    out_bytes: Bytes = 0
    stalls: Counter = since("2.12.0", zero=0)
    subscriptions: Count = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    tls_version: str = ""
    tls_cipher_suite: str = ""
    tls_peer_certs: tuple[PeerCertificate, ...] | None = None
    tls_first: bool = False
    authorized_user: str = ""
    account: str = "$G"
    issuer_key: str = ""
    name_tag: str = ""
    tags: tuple[str, ...] | None = None
    mqtt_client: str = ""
    proxy: Proxy | None = since("2.12.0")


# The figures by which servers can sort connections, the largest first, and their sort options. The
# options for times are in TIMES: a row has these as text, and sums of them say nothing.
SORTS = {
    "subscriptions": "subs",
    "pending_bytes": "pending",
    "in_msgs": "msgs_from",
    "out_msgs": "msgs_to",
    "in_bytes": "bytes_from",
    "out_bytes": "bytes_to",
}
TIMES = {"rtt": "rtt", "idle": "idle"}
# Why servers close connections of clients that have not logged in,
REFUSED = frozenset(
    (
        *("Authentication Failure", "Authentication Timeout", "TLS Handshake Failure"),
        *("Bad Client Protocol Version", "Incorrect Port", "Maximum Connections Exceeded"),
        *("Minimum Version Required", "Proxy Not Trusted", "Proxy Required"),
    )
)
# and how connections end without a fault: by the client, by the network, or as somebody decided.
EXPECTED = frozenset(
    (
        *("Client Closed", "Read Error", "Write Error", "Server Shutdown", "Internal Client"),
        *("Authentication Expired", "Credentials Revoked", "Kicked", "Missing Account", ""),
    )
)
# All fields that a fold can read.
ROW_FIELDS = tuple(name for name in Connection.__struct_fields__ if name != "origin")


class Connz(Reply, gc=False):
    """A page with all fields of its rows; use a PageDecoder to read many rows."""

    server_id: str = ""
    now: Time | None = None
    num_connections: Count = 0
    total: Count = 0
    offset: Limit = 0
    limit: Limit = 0
    connections: list[Connection] | None = None


class Row(Struct, gc=False):
    """One of the worst connections of a server, whose (cluster, name) is `server`.

    `rtt` and `idle` are in seconds; `rtt` is 0 until it was measured.
    """

    cid: Counter = 0
    kind: str = ""
    ip: str = ""
    name: str = ""
    lang: str = ""
    version: str = ""
    authorized_user: str = ""
    account: str = "$G"
    subscriptions: Count = 0
    pending_bytes: Counter = 0
    in_msgs: Counter = 0
    out_msgs: Counter = 0
    in_bytes: Bytes = 0
    out_bytes: Bytes = 0
    rtt_text: str = msgspec.field(name="rtt", default="")
    idle_text: str = msgspec.field(name="idle", default="")
    claimed: Claimed = msgspec.field(name="jwt", default=NOBODY)
    server: Names = ()

    @property
    def rtt(self) -> float:
        return seconds(self.rtt_text)

    @property
    def idle(self) -> float:
        return seconds(self.idle_text)

    @property
    def user_name(self) -> str:
        """The name that its JWT gives to its user, "" if that is not known."""
        return self.claimed.name_of(self.authorized_user)

    @property
    def may_subscribe(self) -> int:
        """The subscriptions that its JWT allows, not positive where no limit is known."""
        own = self.claimed.key == self.authorized_user
        return self.claimed.subscriptions if own else -1


class Rows(Reply, gc=False):
    """The first connections of a server in some order, of any kind."""

    connections: list[Row] | None = None


class Host(Struct, gc=False):
    """A connection that may be an instance of a service; its `subjects` only where requested."""

    cid: Counter = 0
    kind: str = ""
    lang: str = ""
    version: str = ""
    subscriptions: Count = 0
    subjects: tuple[str, ...] | None = msgspec.field(name="subscriptions_list", default=None)


class Hosts(Reply, gc=False):
    """Connections of one account that have interest in some subject.

    `total` counts all connections of the account.
    """

    server_id: str = ""
    now: Time | None = None
    num_connections: Count = 0
    total: Count = 0
    offset: Limit = 0
    limit: Limit = 0
    connections: list[Host] | None = None


def rows_of(payload: bytes) -> tuple[ServerInfo, Rows]:
    """A few rows with the names of their users, as (server, data); Malformed if there are none."""
    return read(_few, payload, "CONNZ")


_few = envelope(Rows)


class Closed(Struct, gc=False):
    """A connection that a server closed `ago` seconds ago, after it `lasted` so many seconds.

    `server` is its (cluster, name). Its list of closed connections covers `reach` seconds, inf if
    that has all since its start. Before the login, as `refused` says, what a client calls its user
    is not known to be one, and may be a secret: it is not kept.
    """

    cid: Counter = 0
    kind: str = ""
    ip: str = ""
    name: str = ""
    authorized_user: str = ""
    account: str = "$G"
    reason: str = ""
    start: Time | None = None
    stop: Time | None = None
    claimed: Claimed = msgspec.field(name="jwt", default=NOBODY)
    server: Names = ()
    ago: float = 0.0
    lasted: float = 0.0
    reach: float = inf

    @property
    def refused(self) -> bool:
        """Whether it was closed before it had logged in."""
        return self.reason in REFUSED

    @property
    def failed(self) -> bool:
        """Whether the server closed it for a fault, and not as it ends in ordinary operation."""
        return self.reason not in EXPECTED

    @property
    def user_name(self) -> str:
        """The name that its JWT gives to its user, "" if that is not known."""
        return self.claimed.name_of(self.authorized_user)


class ClosedRows(Reply, gc=False):
    """The clients whose connections a server closed last, the latest first."""

    now: Time | None = None
    total: Count = 0
    connections: list[Closed] | None = None

    def __post_init__(self) -> None:
        rows, now = self.connections or [], self.now
        if now is None:
            self.connections = []
            return
        for row in rows:
            if row.start is not None and row.stop is not None:
                row.ago = max(0.0, (now - row.stop).total_seconds())
                row.lasted = (row.stop - row.start).total_seconds()
            if row.refused:
                row.authorized_user = ""
        reach = rows[-1].ago if rows and self.total > len(rows) else inf
        for row in rows:
            row.reach = reach
        self.connections = [row for row in rows if row.kind == "Client" and row.stop is not None]


class Page(Struct):
    """One page of CONNZ: `bad` counts rows that could not be decoded, `size` its bytes of JSON.

    Without `kinds` its rows have no `kind`, since all of them are clients.
    """

    server: ServerInfo
    connections: list[Any]
    total: int
    bad: int = 0
    size: int = 0
    kinds: bool = True


class PageDecoder:
    """Reads pages of CONNZ whose rows have `fields` and nothing else."""

    def __init__(self, fields: Iterable[str]) -> None:
        self.fields = tuple(fields)
        self._page, self._rough, self._row = _decoders(self.fields)
        self._kinds = "kind" in self.fields

    def without(self, *names: str) -> PageDecoder:
        """A decoder that does not read these fields: it takes a tenth less time for each."""
        return PageDecoder(name for name in self.fields if name not in names)

    def not_told_by(self, server: ServerInfo) -> list[str]:
        """The fields that servers of this version do not send, which are decoded as zero."""
        return [name for name in self.fields if not told(Connection, name, server.ver)]

    def decode(self, payload: bytes) -> Page:
        """One page without the rows that cannot be decoded; Malformed if nothing can be decoded."""
        try:
            whole = self._page.decode(payload)
        except Exception:
            return self._row_by_row(payload)
        if whole.data is None:
            code = whole.error.code if whole.error else 0
            raise Malformed(f"CONNZ answered with error {code} and no data")
        rows = whole.data.connections or []
        return Page(whole.server, rows, whole.data.total, 0, len(payload), self._kinds)

    def _row_by_row(self, payload: bytes) -> Page:
        whole = parse(self._rough, payload)
        if whole.data is None:
            raise Malformed("CONNZ answered without data")
        rows, bad = [], 0
        for raw in whole.data.connections or ():
            try:
                rows.append(self._row.decode(raw))
            except Exception:
                bad += 1
        return Page(whole.server, rows, whole.data.total, bad, len(payload), self._kinds)


@functools.cache
def _decoders(names: tuple[str, ...]) -> tuple[msgspec.json.Decoder[Any], ...]:
    """The decoders of pages, of pages with malformed rows, and of one row."""
    known = {field.name: field for field in msgspec.structs.fields(Connection)}
    members = [(name, known[name].type, absent(known[name].default)) for name in names]
    row: Any = msgspec.defstruct("Row", members, gc=False)
    page = envelope(_data("Data", list[row]))
    rough = envelope(_data("Rough", list[msgspec.Raw]))
    return page, rough, msgspec.json.Decoder(row)


def _data(name: str, rows: Any) -> Any:
    return msgspec.defstruct(name, [("total", Count, 0), ("connections", rows | None, None)])


# The body of each request says which page, and whether it includes users and accounts.
CONNZ = Endpoint("CONNZ", Connz, weight=256 * 1024, packed=True, paged=True)
# The body of each request names an account: without one no server filters by subjects.
CONNZ_SERVICES = Endpoint(
    "CONNZ", Hosts, key="CONNZ_SERVICES", weight=1024, every=60.0, packed=True, paged=True
)
