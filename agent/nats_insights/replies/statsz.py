"""STATSZ: the short form of VARZ, which is also the server's heartbeat."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import (
    Bytes,
    Count,
    Counter,
    Limit,
    Part,
    Rate,
    Reply,
    Time,
    since,
)
from nats_insights.replies.jetstream import JetStream
from nats_insights.replies.varz import PerKind


class Traffic(Struct, gc=False):
    """Messages, and their bytes."""

    msgs: Counter = 0
    bytes: Bytes = 0


class SplitTraffic(Part, gc=False):
    """Messages and bytes in total, and those of them between servers."""

    msgs: Counter = 0
    bytes: Bytes = 0
    gateways: Traffic | None = since("2.11.5")
    routes: Traffic | None = since("2.11.5")
    leafs: Traffic | None = since("2.11.5")


class RouteTraffic(Struct, gc=False):
    """One route; `pending` is in bytes. Two servers have several."""

    rid: Counter = 0
    name: str = ""
    sent: Traffic | None = None
    received: Traffic | None = None
    pending: Bytes = 0


class GatewayTraffic(Struct, gc=False):
    """The outbound gateway to one cluster, and how many inbound ones come from it."""

    gwid: Counter = 0
    name: str = ""
    sent: Traffic | None = None
    received: Traffic | None = None
    inbound_connections: Count = 0


class Statsz(Reply, gc=False):
    """STATSZ. `cpu` is in percent of one core, `mem` in bytes.

    `active_servers` is how many servers this one knows, itself included: a killed server is removed
    only after minutes.
    """

    start: Time | None = None
    mem: Bytes = 0
    cores: Count = 0
    cpu: Rate = 0.0
    connections: Count = 0
    total_connections: Counter = 0
    active_accounts: Count = 0
    subscriptions: Count = 0
    sent: SplitTraffic | None = None
    sent_to_clients: SplitTraffic | None = since("2.12.9", "2.14.1")
    received: SplitTraffic | None = None
    received_from_clients: SplitTraffic | None = since("2.12.9", "2.14.1")
    slow_consumers: Counter = 0
    slow_consumer_stats: PerKind | None = since("2.11.0")
    stale_connections: Counter = since("2.12.0", zero=0)
    stale_connection_stats: PerKind | None = since("2.12.0")
    stalled_clients: Counter = since("2.12.0", zero=0)
    routes: list[RouteTraffic] | None = None
    gateways: list[GatewayTraffic] | None = None
    active_servers: Count = 0
    jetstream: JetStream | None = None
    gomemlimit: Limit = since("2.10.28", "2.11.2", zero=0)
    gomaxprocs: Count = since("2.10.28", "2.11.2", zero=0)


STATSZ = Endpoint("STATSZ", Statsz, weight=1500, member="statsz")
