"""JetStream of a cluster in one line, as its servers would report it.

cluster(**jetstream(stream("ORDERS", n1=0, n2=0, n3=7)))          n1 leads, n3 lags behind by 7
jetstream(stream("JOBS", n1=0, consumers=[consumer("worker", ack_pending=100)]))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from nats_insights.testing.systems import Server


class Consumer(Struct, frozen=True, kw_only=True):
    """A consumer: it is on the servers of its stream, and one of them leads it, "" for none."""

    name: str
    leader: str | None
    ack_pending: int
    metadata: Mapping[str, str]


class Stream(Struct, frozen=True, kw_only=True):
    """A stream: how far each of its servers lags behind, and which leads it, "" for none."""

    name: str
    account: str
    lags: Mapping[str, int]
    leader: str
    metadata: Mapping[str, str]
    consumers: tuple[Consumer, ...]


def consumer(
    name: str,
    *,
    leader: str | None = None,
    ack_pending: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> Consumer:
    """A consumer, by default led by the server that leads its stream."""
    return Consumer(name=name, leader=leader, ack_pending=ack_pending, metadata=metadata or {})


def stream(
    name: str = "ORDERS",
    account: str = "APP",
    *,
    leader: str | None = None,
    metadata: Mapping[str, str] | None = None,
    consumers: Iterable[Consumer] = (),
    **lags: int,
) -> Stream:
    """A stream on the servers that `lags` names, by default led by the first one."""
    return Stream(
        name=name,
        account=account,
        lags=lags,
        leader=next(iter(lags)) if leader is None else leader,
        metadata=metadata or {},
        consumers=tuple(consumers),
    )


def jetstream(*streams: Stream, **servers: Server) -> dict[str, Server]:
    """The servers of these streams, by name; `servers` adds or replaces some."""
    here = dict.fromkeys(server for one in streams for server in one.lags)
    return {server: _server(server, streams) for server in here} | servers


def _server(server: str, streams: Iterable[Stream]) -> Server:
    by_account: dict[str, list[Any]] = {}
    for one in streams:
        if server in one.lags:
            by_account.setdefault(one.account, []).append(_stream(server, one))
    details = [
        {"name": account, "id": account, "stream_detail": rows}
        for account, rows in by_account.items()
    ]
    count = sum(map(len, by_account.values()))
    return Server(
        varz={"jetstream": {"config": {}, "stats": {"accounts": len(details)}}},
        replies={
            "JSZ": {"streams": count},
            "JSZ_STREAMS": {"streams": count, "account_details": details},
        },
    )


def _stream(server: str, stream: Stream) -> dict[str, Any]:
    return {
        "name": stream.name,
        "cluster": _group(server, stream.leader, stream.lags),
        "config": {"name": stream.name, "metadata": stream.metadata},
        "state": {"consumer_count": len(stream.consumers)},
        "consumer_detail": [_consumer(server, stream, one) for one in stream.consumers],
        "consumer_raft_groups": [{"name": one.name} for one in stream.consumers],
    }


def _consumer(server: str, stream: Stream, consumer: Consumer) -> dict[str, Any]:
    leader = stream.leader if consumer.leader is None else consumer.leader
    return {
        "stream_name": stream.name,
        "name": consumer.name,
        "config": {"metadata": consumer.metadata},
        "num_ack_pending": consumer.ack_pending if leader == server else 0,
        "cluster": _group(server, leader, dict.fromkeys(stream.lags, 0)),
    }


def _group(server: str, leader: str, lags: Mapping[str, int]) -> dict[str, Any]:
    """A follower reports only the state of its leader, and every other member as not current."""
    leads = leader == server
    replicas = [
        {"name": name, "current": leader == name or (leads and not lag), "lag": lag * leads}
        for name, lag in lags.items()
        if name != server
    ]
    return {"name": "C1", "leader": leader, "replicas": replicas}
