"""JetStream of one server, as VARZ, STATSZ and JSZ report it."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.replies.fields import (
    Bytes,
    Count,
    Counter,
    Duration,
    Gauge,
    Limit,
    Part,
    Time,
    since,
)


class Api(Part, gc=False):
    """Requests to the JetStream API that this server handled; `level` is what it supports."""

    level: Count = since("2.11.0", zero=0)
    total: Counter = 0
    errors: Counter = 0
    inflight: Counter = 0


class Stats(Struct, gc=False):
    """What is used and reserved on this server, in bytes."""

    memory: Gauge = 0
    storage: Gauge = 0
    reserved_memory: Gauge = 0
    reserved_storage: Gauge = 0
    accounts: Count = 0
    ha_assets: Count = 0
    api: Api | None = None


class Config(Part, gc=False):
    """What is configured on this server. `sync_interval` is in nanoseconds."""

    max_memory: Limit = 0
    max_storage: Limit = 0
    store_dir: str = ""
    sync_interval: Duration = 0
    sync_always: bool = False
    domain: str = ""
    compress_ok: bool = False
    unique_tag: str = ""
    strict: bool = since("2.11.0", zero=False)


class Limits(Part, gc=False):
    """Limits on what clients may request; zero if none is configured."""

    default_max_consumers: Limit = since("2.15.0", zero=0)
    max_request_batch: Limit = since("2.11.0", zero=0)
    max_ack_pending: Limit = since("2.11.0", zero=0)
    max_ha_assets: Limit = since("2.11.0", zero=0)
    max_duplicate_window: Duration = since("2.11.0", zero=0)
    max_batch_inflight_per_stream: Limit = since("2.12.0", zero=0)
    max_batch_inflight_total: Limit = since("2.12.0", zero=0)
    max_batch_size: Limit = since("2.12.0", zero=0)
    max_batch_timeout: Duration = since("2.12.0", zero=0)


class Peer(Part, gc=False):
    """A replica as another server reports it: `active` nanoseconds ago, -1 if never.

    `lag` is how many operations it is behind.
    """

    name: str = ""
    current: bool = False
    offline: bool = False
    active: Duration = 0
    lag: Gauge = 0
    peer: str = ""
    pending: bool = since("2.15.0", zero=False)


class MetaSnapshot(Struct, gc=False):
    """What the meta group would write into its next snapshot, and how long the last one took."""

    pending_entries: Bytes = 0
    pending_size: Bytes = 0
    last_time: Time | None = None
    last_duration: Duration = 0


class Meta(Part, gc=False):
    """The meta group. Followers of some versions do not report replicas."""

    name: str = ""
    leader: str = ""
    peer: str = ""
    replicas: list[Peer] | None = None
    cluster_size: Count = 0
    quorum_needed: Count = since("2.15.0", zero=0)
    rescue: bool = since("2.15.0", zero=False)
    pending: Count = since("2.10.21", zero=0)
    pending_requests: Count = since("2.14.0", zero=0)
    pending_infos: Count = since("2.14.0", zero=0)
    snapshot: MetaSnapshot | None = since("2.11.11", "2.12.2")


class JetStream(Part, gc=False):
    """The `jetstream` object; empty, with `config` None, if JetStream is disabled."""

    config: Config | None = None
    stats: Stats | None = None
    meta: Meta | None = None
    limits: Limits | None = since("2.11.0")
