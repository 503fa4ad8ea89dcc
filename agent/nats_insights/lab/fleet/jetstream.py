"""JSZ and RAFTZ of a simulated server, and what else it says of JetStream."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Cluster, Server
from nats_insights.lab.fleet.request import JszOptions, RaftzOptions
from nats_insights.lab.fleet.rows import timestamp
from nats_insights.lab.fleet.splice import Packed, pack
from nats_insights.lab.fleet.streams import Asset, Consumer, Stream

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_UNLIMITED = 2**64 - 1
_GIBIBYTE = 1 << 30
# Nanoseconds since a peer was heard of.
_ACTIVE = 412_000_000
_LAST_SEEN = "412ms"
_META = "_meta_"
_META_INDEX = 128
_MOST_LOGGED = 512
# Kept of one server, however it is asked; a page of every stream is among them.
_MOST_DETAILS = 64


def jsz(server: Server, options: JszOptions, now: float) -> tuple[dict[str, Any], Packed | None]:
    """The reply's data with an empty list of account details, and those that belong into it.

    The details end with the `jsz_end` of the whole reply; None stands for no list at all. They are
    kept, compressed, until something happens to a stream of the cluster.
    """
    accounts = server.cluster.jetstream
    head = figures(server)
    data: dict[str, Any] = {"server_id": server.id, "now": timestamp(now)}
    if not accounts:
        none = dict.fromkeys(("streams", "consumers", "messages", "bytes", "total"), 0)
        return {**head["stats"], **data, "disabled": True, "config": _NO_CONFIG, **none}, None
    data = {**head["stats"], **data, "config": _CONFIG, "limits": _LIMITS, **head["counts"]}
    if not options.raft:
        del data["streams_leader"], data["consumers_leader"]
    data["meta_cluster"] = meta(server)
    chosen = _chosen(accounts, options)
    if not chosen:
        return data | {"total": len(accounts)}, None
    key = ("JSZ", chosen, *_parts(options))
    if key not in server.details:
        _keep(server, key, _details(server, chosen, options) + jsz_end(server))
    return data | {"account_details": [], "total": len(accounts)}, server.details[key]


def jsz_end(server: Server) -> bytes:
    """How a reply of JSZ ends, with the list of account details."""
    return b'],"total":%d}}' % len(server.cluster.jetstream)


def raftz(server: Server, options: RaftzOptions) -> Packed | None:
    """The groups of an account, by default the system account's, up to the RAFTZ_END of the reply;
    None where it has none."""
    account = options.account or SYSTEM_ACCOUNT
    key = ("RAFTZ", account, options.group)
    if key not in server.details:
        groups = dict(_groups(server, account))
        if options.group:
            groups = {group: row for group, row in groups.items() if group == options.group}
        if not groups:
            return None
        _keep(server, key, _encode({account: groups})[1:-1] + RAFTZ_END)
    return server.details[key]


RAFTZ_END = b"}}"


def leads_meta(server: Server) -> bool:
    """Whether it is the leader of the group that assigns streams to servers."""
    return _meta_leader(server.cluster) is server


def figures(server: Server) -> dict[str, Any]:
    """What it holds in all: `stats`, as VARZ has them too, and the `counts` of JSZ."""
    if server.holds is None:
        server.holds = _counted(server)
    return server.holds


def varz(server: Server) -> dict[str, Any]:
    """The part of VARZ; empty where JetStream is off."""
    if not server.cluster.jetstream:
        return {}
    stats = figures(server)["stats"]
    return {"config": _CONFIG, "stats": stats, "meta": meta(server), "limits": _LIMITS}


def statsz(server: Server) -> dict[str, Any]:
    """The same for STATSZ: only the leader of the meta group names its members."""
    said = varz(server)
    if said:
        said["config"] = {name: of for name, of in _CONFIG.items() if name != "store_dir"}
        if not leads_meta(server):
            del said["meta"]["replicas"]
            said["meta"]["name"] = _META
    return said


def meta(server: Server) -> dict[str, Any]:
    """The group that assigns streams to servers; each cluster is taken to have one of its own."""
    cluster = server.cluster
    leader = _meta_leader(cluster)
    return {
        "name": cluster.name,
        **({"leader": leader.name, "peer": peer(leader)} if leader else {}),
        "replicas": _replicas(cluster.servers, server, leader, {}),
        "cluster_size": len(cluster.servers),
        "quorum_needed": len(cluster.servers) // 2 + 1,
        **dict.fromkeys(("pending", "pending_requests", "pending_infos"), 0),
        "snapshot": {
            "pending_entries": 3,
            "pending_size": 2888,
            "last_time": timestamp(server.started),
        },
    }


def peer(server: Server) -> str:
    """What RAFT calls a server: eight digits of the hash of its name."""
    return _digits(server.name)


@lru_cache(maxsize=16_384)
def _digits(name: str) -> str:
    digest = hashlib.sha256(name.encode()).digest()
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in digest[:8])


def _keep(server: Server, key: tuple[object, ...], plain: bytes) -> None:
    if len(server.details) >= _MOST_DETAILS:
        server.details.clear()
    server.details[key] = pack(plain)


def _parts(options: JszOptions) -> tuple[bool, ...]:
    """Which parts of the details are wanted: streams, consumers, configurations, groups."""
    streams = options.streams or options.consumer
    return streams, options.consumer, options.config, options.raft, options.stream_leader_only


def _chosen(accounts: Sequence[str], options: JszOptions) -> tuple[str, ...]:
    """The account asked for, or a page of all; an unknown one is as if nobody had asked for it."""
    if options.account in accounts:
        return (options.account,)
    if not (options.accounts or options.streams or options.consumer):
        return ()
    return tuple(accounts[options.offset : options.offset + options.limit])


def _details(server: Server, accounts: Sequence[str], options: JszOptions) -> bytes:
    streams, consumers, config, raft, led = _parts(options)
    here: dict[str, list[bytes]] = {}
    for stream in server.streams if streams else ():
        if stream.account in accounts and (not led or stream.leader is server):
            row = _stream(server, stream, consumers, config, raft)
            here.setdefault(stream.account, []).append(_encode(row))
    stored: dict[str, list[int]] = {}
    for stream in server.cluster.streams:
        held = stream.bytes_on(stream.servers[0]) * len(stream.servers)
        stored.setdefault(stream.account, []).append(held)
    rows = []
    for account in accounts:
        head = _encode(_account(account, stored.get(account, [])))
        if account in here:
            head = head[:-1] + b',"stream_detail":[' + b",".join(here[account]) + b"]}"
        rows.append(head)
    return b",".join(rows)


def _account(account: str, stored: Sequence[int]) -> dict[str, Any]:
    return {
        "name": account,
        "id": account,
        "memory": 0,
        "storage": sum(stored),
        "reserved_memory": _UNLIMITED,
        "reserved_storage": _UNLIMITED,
        "accounts": 0,
        "ha_assets": 0,
        "api": {"level": 0, "total": 3 * len(stored), "errors": 0},
    }


def _stream(
    server: Server, stream: Stream, consumers: bool, config: bool, raft: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": stream.name,
        "created": timestamp(stream.created),
        "cluster": _cluster(server, stream, stream.behind),
    }
    if config:
        row["config"] = _stream_config(stream)
    row["state"] = {
        "messages": stream.messages_on(server),
        "bytes": stream.bytes_on(server),
        "first_seq": stream.first,
        "first_ts": timestamp(stream.created + 1),
        "last_seq": stream.last_on(server),
        "last_ts": timestamp(stream.created + 86_400),
        "num_subjects": stream.subjects,
        "consumer_count": len(stream.consumers),
    }
    if consumers:
        row["consumer_detail"] = [
            _consumer(server, stream, one, config) for one in stream.consumers
        ]
    if raft:
        row["stream_raft_group"] = stream.group
        row["consumer_raft_groups"] = [
            {"name": one.name, "raft_group": one.group} for one in stream.consumers
        ]
    return row


def _consumer(server: Server, stream: Stream, consumer: Consumer, config: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "stream_name": stream.name,
        "name": consumer.name,
        "created": timestamp(consumer.created),
    }
    if config:
        row["config"] = _consumer_config(consumer)
    last = timestamp(stream.created + 86_400)
    delivered, acknowledged = consumer.delivered, consumer.acknowledged
    # Its own sequence counts what it delivered, from the first message on.
    before = stream.first - 1
    return row | {
        "delivered": _sequences(delivered - before, delivered, last),
        "ack_floor": _sequences(acknowledged - before, acknowledged, last),
        "num_ack_pending": consumer.ack_pending,
        "num_redelivered": 0,
        "num_waiting": 0,
        # Only the leader knows how many are left.
        "num_pending": stream.last - delivered if consumer.leader is server else 0,
        "cluster": _cluster(server, consumer, {}),
        "ts": last,
    }


def _sequences(consumer: int, stream: int, last: str) -> dict[str, Any]:
    return {"consumer_seq": consumer, "stream_seq": stream, "last_active": last}


def _cluster(server: Server, asset: Asset, behind: dict[str, int]) -> dict[str, Any]:
    leader = asset.leader
    said: dict[str, Any] = {"name": server.cluster.name}
    led = {"leader": leader.name} if leader else {}
    if not asset.replicated:
        return said | led
    said |= {"raft_group": asset.group, **led}
    if leader is server:
        said["leader_since"] = timestamp(asset.created)
    said |= {"system_account": True, "traffic_account": SYSTEM_ACCOUNT}
    return said | {"replicas": _replicas(asset.servers, server, leader, behind)}


def _replicas(
    servers: Iterable[Server], own: Server, leader: Server | None, behind: dict[str, int]
) -> list[dict[str, Any]]:
    """The other members of a group; where nobody leads it, the server itself among them.

    Only the leader knows who is current; the others know it of their leader.
    """
    rows = []
    for member in sorted(servers, key=lambda server: server.name):
        if member is own and leader is not None:
            continue
        lag = behind.get(member.name, 0) if leader is own else 0
        known = member is own or leader in (own, member)
        row: dict[str, Any] = {
            "name": member.name,
            "current": known and member.running and not lag,
        }
        if not member.running:
            row["offline"] = True
        row["active"] = _ACTIVE if known else 0
        if lag:
            row["lag"] = lag
        rows.append(row | {"peer": peer(member)})
    return rows


def _groups(server: Server, account: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The groups of an account that a server is a member of."""
    cluster = server.cluster
    if account == SYSTEM_ACCOUNT and cluster.jetstream and len(cluster.servers) > 1:
        leader = _meta_leader(cluster)
        yield _META, _group(cluster.servers, server, leader, _META_INDEX, {}, server.started)
    for stream in server.streams:
        if stream.account != account or not stream.replicated:
            continue
        members, created = stream.servers, stream.created
        # The first entry of a group is its leader's, not a message.
        row = _group(members, server, stream.leader, stream.last + 1, stream.behind, created)
        yield stream.group, row
        for one in stream.consumers:
            index = 2 * one.delivered
            yield one.group, _group(one.servers, server, one.leader, index, {}, one.created)


def _group(
    members: Sequence[Server],
    server: Server,
    leader: Server | None,
    index: int,
    behind: dict[str, int],
    created: int,
) -> dict[str, Any]:
    """One RAFT group, whose last entry is `index`, less what a member is `behind`."""
    own = index - behind.get(server.name, 0)
    return {
        "id": peer(server),
        "state": _state(server, leader),
        "size": len(members),
        "quorum_needed": len(members) // 2 + 1,
        "committed": own,
        "applied": own,
        **({"leader": peer(leader)} if leader else {}),
        **({"leader_since": timestamp(created)} if leader is server else {}),
        "ever_had_leader": True,
        "term": 1 if leader else 4,
        "voted_for": peer(leader or server),
        "pterm": 1,
        "pindex": own,
        "system_account": True,
        "traffic_account": SYSTEM_ACCOUNT,
        **dict.fromkeys(_QUEUES, 0),
        "wal": _log(own, created),
        "peers": {
            peer(member): _peer(member, server, leader, index - behind.get(member.name, 0))
            for member in members
            if member is not server
        },
    }


def _state(server: Server, leader: Server | None) -> str:
    if leader is None:
        return "CANDIDATE"
    return "LEADER" if leader is server else "FOLLOWER"


def _log(last: int, created: int) -> dict[str, Any]:
    kept = min(last, _MOST_LOGGED)
    return {
        "messages": kept,
        "bytes": kept * 170,
        "first_seq": last - kept + 1,
        "first_ts": timestamp(created),
        "last_seq": last,
        "last_ts": timestamp(created + 86_400),
        "consumer_count": 0,
    }


def _peer(member: Server, own: Server, leader: Server | None, index: int) -> dict[str, Any]:
    """What a server knows of another member of a group: most of it only as its leader."""
    row: dict[str, Any] = {"name": member.name, "known": True}
    if leader is own:
        row["last_replicated_index"] = index
    if leader in (own, member):
        row["last_seen"] = _LAST_SEEN
    return row


def _meta_leader(cluster: Cluster) -> Server | None:
    running = cluster.running
    return running[0] if 2 * len(running) > len(cluster.servers) else None


def _counted(server: Server) -> dict[str, Any]:
    streams = server.streams
    consumers = [one for stream in streams for one in stream.consumers]
    assets: list[Asset] = [*streams, *consumers]
    stored = sum(stream.bytes_on(server) for stream in streams)
    on = bool(server.cluster.jetstream)
    stats = {
        "memory": 0,
        "storage": stored,
        **dict.fromkeys(("reserved_memory", "reserved_storage"), 0),
        "accounts": len(server.cluster.jetstream),
        # The meta group is one of them.
        "ha_assets": on + sum(asset.replicated for asset in assets),
        "api": {"level": 5 if on else 0, "total": 2 * len(streams), "errors": 0},
    }
    told = {
        "streams": len(streams),
        "streams_leader": sum(stream.leader is server for stream in streams),
        "consumers": len(consumers),
        "consumers_leader": sum(consumer.leader is server for consumer in consumers),
        "messages": sum(stream.messages_on(server) for stream in streams),
        "bytes": stored,
    }
    return {"stats": stats, "counts": told}


def _stream_config(stream: Stream) -> dict[str, Any]:
    return {
        "name": stream.name,
        "subjects": [f"{stream.name.lower().replace('-', '.')}.>"],
        **_STREAM_CONFIG,
        "num_replicas": len(stream.servers),
        **_MORE_STREAM_CONFIG,
        "metadata": {
            **_LEVEL,
            "owner": stream.owner,
            "team": stream.account.lower(),
            "tier": "gold" if stream.replicated else "bronze",
        },
    }


def _consumer_config(consumer: Consumer) -> dict[str, Any]:
    return {
        "durable_name": consumer.name,
        "name": consumer.name,
        **_CONSUMER_CONFIG,
        "max_ack_pending": consumer.max_ack_pending,
        "num_replicas": 0,
        "metadata": _LEVEL,
    }


_encode = msgspec.json.Encoder().encode
_NO_CONFIG = {"max_memory": 0, "max_storage": 0}
_CONFIG = {
    "max_memory": 16 * _GIBIBYTE,
    "max_storage": 512 * _GIBIBYTE,
    "store_dir": "/data/jetstream",
    "sync_interval": 120_000_000_000,
    "compress_ok": True,
    "strict": True,
}
_LIMITS = {"default_max_consumers": 1000}
_QUEUES = ("ipq_proposal_len", "ipq_entry_len", "ipq_resp_len", "ipq_apply_len")
_LEVEL = {"_nats.req.level": "0"}
_STREAM_CONFIG = {
    "retention": "limits",
    **dict.fromkeys(("max_consumers", "max_msgs", "max_bytes"), -1),
    "max_age": 0,
    **dict.fromkeys(("max_msgs_per_subject", "max_msg_size"), -1),
    "discard": "old",
    "storage": "file",
}
_MORE_STREAM_CONFIG = {
    "duplicate_window": 120_000_000_000,
    "compression": "none",
    **dict.fromkeys(("allow_direct", "mirror_direct", "sealed", "deny_delete"), False),
    **dict.fromkeys(("deny_purge", "allow_rollup_hdrs"), False),
    "consumer_limits": {},
    "allow_msg_ttl": False,
}
_CONSUMER_CONFIG = {
    "deliver_policy": "all",
    "ack_policy": "explicit",
    "ack_wait": 30_000_000_000,
    "max_deliver": -1,
    "replay_policy": "instant",
    "max_waiting": 512,
}
