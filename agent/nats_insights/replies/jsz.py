"""JSZ: JetStream of one server, in sums and stream by stream."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Struct

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import (
    Bytes,
    Count,
    Counter,
    Duration,
    Gauge,
    Limit,
    Part,
    Reply,
    Time,
    since,
)
from nats_insights.replies.jetstream import Api, Config, Limits, Peer
from nats_insights.replies.jetstream import Meta as MetaGroup
from nats_insights.replies.varz import Varz

# Of one account; 2**64 - 1 means nothing reserved. It is not converted, as most accounts have it.
Reserved = Annotated[int, msgspec.Meta(ge=0)]


class Placement(Struct, gc=False):
    """Where a stream may be."""

    cluster: str = ""
    tags: tuple[str, ...] | None = None
    preferred: str = ""


class External(Struct, gc=False):
    """A source in another account or domain: its API prefix."""

    api: str = ""
    deliver: str = ""


class Transform(Struct, gc=False):
    """A source subject, and the subject that it is mapped to."""

    src: str = ""
    dest: str = ""


class Source(Struct, gc=False):
    """The configuration of a mirror or source."""

    name: str = ""
    opt_start_seq: Bytes = 0
    opt_start_time: Time | None = None
    filter_subject: str = ""
    subject_transforms: tuple[Transform, ...] | None = None
    external: External | None = None


class ApiError(Struct, gc=False):
    """The error of a mirror or source."""

    code: Count = 0
    err_code: Count = 0
    description: str = ""


class SourceState(Struct, gc=False):
    """The state of a mirror or source: `lag` messages behind, last active `active` nanoseconds ago.

    `active` is -1 if it was never active.
    """

    name: str = ""
    external: External | None = None
    lag: Gauge = 0
    active: Duration = 0
    error: ApiError | None = None
    filter_subject: str = ""
    subject_transforms: tuple[Transform, ...] | None = None


class ConsumerLimits(Struct, gc=False):
    """Limits of a stream on its consumers."""

    inactive_threshold: Duration = 0
    max_ack_pending: Limit = 0


class Republish(Struct, gc=False):
    """What a stream republishes, and to which subject."""

    src: str = ""
    dest: str = ""
    headers_only: bool = False


class StreamConfig(Part, gc=False):
    """The configuration of a stream: durations in nanoseconds, sizes in bytes, -1 for no limit.

    `retention` is limits, interest or workqueue; `discard` old or new; `storage` file or memory.
    """

    name: str = ""
    description: str = ""
    subjects: tuple[str, ...] | None = None
    retention: str = ""
    max_consumers: Limit = 0
    max_msgs: Limit = 0
    max_bytes: Limit = 0
    max_age: Duration = 0
    max_msgs_per_subject: Limit = 0
    max_msg_size: Limit = 0
    discard: str = ""
    storage: str = ""
    num_replicas: Count = 0
    no_ack: bool = False
    duplicate_window: Duration = 0
    placement: Placement | None = None
    mirror: Source | None = None
    sources: tuple[Source, ...] | None = None
    compression: str = ""
    first_seq: Bytes = 0
    subject_transform: Transform | None = None
    republish: Republish | None = None
    allow_direct: bool = False
    mirror_direct: bool = False
    discard_new_per_subject: bool = False
    sealed: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False
    consumer_limits: ConsumerLimits | None = None
    allow_msg_ttl: bool = since("2.11.0", zero=False)
    subject_delete_marker_ttl: Duration = since("2.11.0", zero=0)
    allow_msg_counter: bool = since("2.12.0", zero=False)
    allow_atomic: bool = since("2.12.0", zero=False)
    allow_msg_schedules: bool = since("2.12.0", zero=False)
    persist_mode: str = since("2.12.0", zero="")
    allow_batched: bool = since("2.14.0", zero=False)
    metadata: dict[str, str] | None = None


class Lost(Struct, gc=False):
    """Messages that a server found to be lost when it started."""

    msgs: tuple[Bytes, ...] | None = None
    bytes: Bytes = 0


class StreamState(Struct, gc=False):
    """What this server's replica of a stream holds."""

    messages: Bytes = 0
    bytes: Bytes = 0
    first_seq: Bytes = 0
    first_ts: Time | None = None
    last_seq: Bytes = 0
    last_ts: Time | None = None
    num_subjects: Counter = 0
    num_deleted: Gauge = 0
    lost: Lost | None = None
    consumer_count: Count = 0


class Group(Part, gc=False):
    """The placement of a stream or consumer: its leader and the other replicas, by server name."""

    name: str = ""
    raft_group: str = ""
    leader: str = ""
    leader_since: Time | None = since("2.11.9")
    system_account: bool = since("2.11.9", zero=False)
    traffic_account: str = since("2.11.9", zero="")
    replicas: tuple[Peer, ...] | None = None


class Sequences(Struct, gc=False):
    """A sequence in a consumer and in its stream, and when it last changed."""

    consumer_seq: Bytes = 0
    stream_seq: Bytes = 0
    last_active: Time | None = None


class ConsumerConfig(Part, gc=False):
    """The configuration of a consumer, as far as checks may need it."""

    durable_name: str = ""
    deliver_policy: str = ""
    ack_policy: str = ""
    ack_wait: Duration = 0
    max_deliver: Limit = 0
    filter_subject: str = ""
    filter_subjects: tuple[str, ...] | None = None
    replay_policy: str = ""
    max_waiting: Limit = 0
    max_ack_pending: Limit = 0
    deliver_subject: str = ""
    deliver_group: str = ""
    inactive_threshold: Duration = 0
    num_replicas: Count = 0
    mem_storage: bool = False
    direct: bool = False
    metadata: dict[str, str] | None = None
    pause_until: Time | None = since("2.11.0")
    priority_groups: tuple[str, ...] | None = since("2.11.0")
    priority_policy: str = since("2.11.0", zero="")
    priority_timeout: Duration = since("2.11.0", zero=0)


class PriorityGroup(Struct, gc=False):
    """The pinned client of one priority group of a consumer."""

    group: str = ""
    pinned_client_id: str = ""
    pinned_ts: Time | None = None


class Consumer(Part, gc=False):
    """A consumer as this server's replica reports it; only its leader knows all."""

    stream_name: str = ""
    name: str = ""
    created: Time | None = None
    config: ConsumerConfig | None = None
    delivered: Sequences | None = None
    ack_floor: Sequences | None = None
    num_ack_pending: Gauge = 0
    num_redelivered: Gauge = 0
    num_waiting: Gauge = 0
    num_pending: Gauge = 0
    cluster: Group | None = None
    push_bound: bool = False
    paused: bool = since("2.11.0", zero=False)
    pause_remaining: Duration = since("2.11.0", zero=0)
    ts: Time | None = None
    priority_groups: tuple[PriorityGroup, ...] | None = since("2.11.0")


class ConsumerGroup(Struct, gc=False):
    """The Raft group of a consumer."""

    name: str = ""
    raft_group: str = ""


class Stream(Part, gc=False):
    """A stream as this server's replica reports it."""

    name: str = ""
    created: Time | None = None
    cluster: Group | None = None
    config: StreamConfig | None = None
    state: StreamState | None = None
    consumer_detail: tuple[Consumer, ...] | None = None
    direct_consumer_detail: tuple[Consumer, ...] | None = since("2.11.11", "2.12.2")
    mirror: SourceState | None = None
    sources: tuple[SourceState, ...] | None = None
    stream_raft_group: str = ""
    consumer_raft_groups: tuple[ConsumerGroup, ...] | None = None


class AccountDetail(Struct, gc=False):
    """One account on this server; `id` is its key with JWTs, else its name."""

    name: str = ""
    id: str = ""
    memory: Gauge = 0
    storage: Gauge = 0
    reserved_memory: Reserved = 0
    reserved_storage: Reserved = 0
    accounts: Count = 0
    ha_assets: Count = 0
    api: Api | None = None
    stream_detail: tuple[Stream, ...] | None = None


class Jsz(Reply, gc=False):
    """JSZ. Streams, consumers, messages and bytes are those of the replicas on this server."""

    server_id: str = ""
    now: Time | None = None
    disabled: bool = False
    memory: Gauge = 0
    storage: Gauge = 0
    reserved_memory: Gauge = 0
    reserved_storage: Gauge = 0
    accounts: Count = 0
    ha_assets: Count = 0
    api: Api | None = None
    config: Config | None = None
    limits: Limits | None = since("2.10.28", "2.11.0")
    streams: Count = 0
    streams_leader: Count = since("2.11.11", "2.12.1", zero=0)
    consumers: Count = 0
    consumers_leader: Count = since("2.11.11", "2.12.1", zero=0)
    messages: Gauge = 0
    bytes: Gauge = 0
    meta_cluster: MetaGroup | None = None
    account_details: list[AccountDetail] | None = None
    total: Count = since("2.10.28", "2.11.2", zero=0)


_DETAIL = ("accounts", "streams", "consumer", "config", "raft")


def body(account: str, offset: int, limit: int) -> bytes:
    """The JSZ_STREAMS request for one account, or, if "", for `limit` accounts from `offset` on."""
    asked = {"account": account, "offset": offset, "limit": limit}
    return msgspec.json.encode(asked | dict.fromkeys(_DETAIL, True))


def _without(varz: Varz) -> Jsz | None:
    return None if varz.jetstream and varz.jetstream.config else Jsz(disabled=True)


# A server reads each of its streams even for the sums; with `raft` it reports how many it leads.
JSZ = Endpoint("JSZ", Jsz, b'{"raft":true}', weight=1500, every=60.0, packed=True, without=_without)
# About 2,000 bytes of JSON for each stream and as many for each consumer.
JSZ_STREAMS = Endpoint(
    "JSZ",
    Jsz,
    body("", 0, 1),
    key="JSZ_STREAMS",
    weight=64 * 1024,
    every=300.0,
    fans_out=False,
    packed=True,
    paged=True,
    without=_without,
)
