"""VARZ: one server's own figures and configuration."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.errors import Missing
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import (
    Bytes,
    Count,
    Counter,
    Duration,
    Limit,
    Part,
    Rate,
    Reply,
    Time,
    since,
)
from nats_insights.replies.jetstream import JetStream


class PerKind(Struct, gc=False):
    """How many there ever were of each kind of connection."""

    clients: Counter = 0
    routes: Counter = 0
    gateways: Counter = 0
    leafs: Counter = 0


class DiskWaits(Struct, gc=False):
    """Waits for one of the server's disk I/O slots; times in nanoseconds."""

    waiters: Count = 0
    waits: Counter = 0
    wait_time: Bytes = 0
    max_wait_time: Bytes = 0


class ClusterOptions(Part, gc=False):
    """The `cluster` object: how routes are configured."""

    name: str = ""
    addr: str = ""
    cluster_port: Limit = 0
    auth_timeout: Rate = 0.0
    urls: tuple[str, ...] | None = None
    tls_timeout: Rate = 0.0
    tls_required: bool = False
    tls_verify: bool = False
    pool_size: Limit = 0
    write_deadline: Duration = since("2.11.11", "2.12.2", zero=0)
    write_timeout: str = since("2.11.11", "2.12.2", zero="")
    tls_cert_not_after: Time | None = since("2.11.12", "2.12.4")


class RemoteGateway(Struct, gc=False):
    """A cluster that this one is configured to connect to."""

    name: str = ""
    tls_timeout: Rate = 0.0
    urls: tuple[str, ...] | None = None


class GatewayOptions(Part, gc=False):
    """The `gateway` object."""

    name: str = ""
    host: str = ""
    port: Limit = 0
    auth_timeout: Rate = 0.0
    tls_timeout: Rate = 0.0
    tls_required: bool = False
    tls_verify: bool = False
    advertise: str = ""
    connect_retries: Limit = 0
    gateways: tuple[RemoteGateway, ...] | None = None
    reject_unknown: bool = False
    write_deadline: Duration = since("2.11.11", "2.12.2", zero=0)
    write_timeout: str = since("2.11.11", "2.12.2", zero="")
    tls_cert_not_after: Time | None = since("2.11.12", "2.12.4")


class Denied(Struct, gc=False):
    """Subjects that a leaf node does not export or import."""

    exports: tuple[str, ...] | None = None
    imports: tuple[str, ...] | None = None


class RemoteLeaf(Struct, gc=False):
    """A server that this one is configured to connect to as a leaf node."""

    local_account: str = ""
    tls_timeout: Rate = 0.0
    urls: tuple[str, ...] | None = None
    deny: Denied | None = None
    tls_ocsp_peer_verify: bool = False


class LeafOptions(Part, gc=False):
    """The `leaf` object: the listener for leaf nodes, and where this server connects as one."""

    host: str = ""
    port: Limit = 0
    auth_timeout: Rate = 0.0
    tls_timeout: Rate = 0.0
    tls_required: bool = False
    tls_verify: bool = False
    remotes: tuple[RemoteLeaf, ...] | None = None
    tls_ocsp_peer_verify: bool = False
    write_deadline: Duration = since("2.11.11", "2.12.2", zero=0)
    write_timeout: str = since("2.11.11", "2.12.2", zero="")
    tls_cert_not_after: Time | None = since("2.11.12", "2.12.4")


class MqttOptions(Part, gc=False):
    """The `mqtt` object."""

    host: str = ""
    port: Limit = 0
    no_auth_user: str = ""
    auth_timeout: Rate = 0.0
    tls_map: bool = False
    tls_timeout: Rate = 0.0
    tls_pinned_certs: tuple[str, ...] | None = None
    js_domain: str = ""
    ack_wait: Duration = 0
    max_ack_pending: Limit = 0
    tls_ocsp_peer_verify: bool = False
    tls_cert_not_after: Time | None = since("2.11.12", "2.12.4")


class WebsocketOptions(Part, gc=False):
    """The `websocket` object."""

    host: str = ""
    port: Limit = 0
    advertise: str = ""
    no_auth_user: str = ""
    jwt_cookie: str = ""
    handshake_timeout: Duration = 0
    auth_timeout: Rate = 0.0
    no_tls: bool = False
    tls_map: bool = False
    tls_pinned_certs: tuple[str, ...] | None = None
    same_origin: bool = False
    allowed_origins: tuple[str, ...] | None = None
    compression: bool = False
    tls_ocsp_peer_verify: bool = False
    tls_cert_not_after: Time | None = since("2.11.12", "2.12.4")


class OcspCache(Struct, gc=False):
    """The cache of OCSP responses about peers."""

    cache_type: str = ""
    cache_hits: Counter = 0
    cache_misses: Counter = 0
    cached_responses: Counter = 0
    cached_revoked_responses: Counter = 0
    cached_good_responses: Counter = 0
    cached_unknown_responses: Counter = 0


class Proxy(Struct, gc=False):
    """A proxy, by its public key."""

    key: str = ""


class Proxies(Struct, gc=False):
    """The proxies that a server trusts."""

    trusted: tuple[Proxy, ...] | None = None


class Varz(Reply, gc=False):
    """VARZ. Bytes in bytes, deadlines and intervals in nanoseconds, `*_timeout` in seconds.

    `routes` counts pooled connections; `subscriptions` the whole table, routed interest included;
    `cpu` is in percent of one core.
    """

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    proto: Limit = 0
    git_commit: str = ""
    go: str = ""
    host: str = ""
    port: Limit = 0
    auth_required: bool = False
    tls_required: bool = False
    tls_verify: bool = False
    tls_ocsp_peer_verify: bool = False
    ip: str = ""
    connect_urls: tuple[str, ...] | None = None
    ws_connect_urls: tuple[str, ...] | None = None
    max_connections: Limit = 0
    max_subscriptions: Limit = 0
    ping_interval: Duration = 0
    ping_max: Limit = 0
    http_host: str = ""
    http_port: Limit = 0
    http_base_path: str = ""
    https_port: Limit = 0
    auth_timeout: Rate = 0.0
    max_control_line: Limit = 0
    max_payload: Limit = 0
    max_pending: Limit = 0
    cluster: ClusterOptions | None = None
    gateway: GatewayOptions | None = None
    leaf: LeafOptions | None = None
    mqtt: MqttOptions | None = None
    websocket: WebsocketOptions | None = None
    jetstream: JetStream | None = None
    tls_timeout: Rate = 0.0
    write_deadline: Duration = 0
    write_timeout: str = since("2.11.11", "2.12.2", zero="")
    start: Time | None = None
    now: Time | None = None
    uptime: str = ""
    mem: Bytes = 0
    cores: Count = 0
    gomaxprocs: Count = 0
    gomemlimit: Limit = since("2.10.28", "2.11.2", zero=0)
    cpu: Rate = 0.0
    connections: Count = 0
    total_connections: Counter = 0
    routes: Count = 0
    remotes: Count = 0
    leafnodes: Count = 0
    in_msgs: Counter = 0
    in_bytes: Bytes = 0
    in_client_msgs: Counter = since("2.12.9", "2.14.1", zero=0)
    in_client_bytes: Bytes = since("2.12.9", "2.14.1", zero=0)
    out_msgs: Counter = 0
    out_bytes: Bytes = 0
    out_client_msgs: Counter = since("2.12.9", "2.14.1", zero=0)
    out_client_bytes: Bytes = since("2.12.9", "2.14.1", zero=0)
    slow_consumers: Counter = 0
    stale_connections: Counter = since("2.12.0", zero=0)
    stalled_clients: Counter = since("2.12.0", zero=0)
    subscriptions: Count = 0
    http_req_stats: dict[str, Counter] | None = None
    # Only compared, so not parsed as a time.
    config_load_time: str = ""
    config_digest: str = since("2.11.0", zero="")
    tags: tuple[str, ...] | None = None
    metadata: dict[str, str] | None = since("2.11.7")
    feature_flags: dict[str, bool] | None = since("2.14.0")
    system_account: str = "$SYS"
    pinned_account_fails: Counter = 0
    ocsp_peer_cache: OcspCache | None = None
    slow_consumer_stats: PerKind | None = None
    stale_connection_stats: PerKind | None = since("2.12.0")
    disk_io_wait_stats: DiskWaits | None = since("2.12.14", "2.14.4")
    proxies: Proxies | None = since("2.12.0")
    tls_cert_not_after: Time | None = since("2.11.12", "2.12.4")

    @property
    def slow_kinds(self) -> PerKind:
        """How many slow consumers of each kind there ever were; Missing if it does not say."""
        if self.slow_consumer_stats is None:
            raise Missing("slow_consumer_stats", self.server.name)
        return self.slow_consumer_stats

    @property
    def may_have_leafnodes(self) -> bool:
        """Whether it has leaf nodes, or is configured so that some could connect at any time."""
        leaf = self.leaf
        return self.leafnodes > 0 or leaf is None or leaf.port != 0 or bool(leaf.remotes)


VARZ = Endpoint("VARZ", Varz, weight=2600)
