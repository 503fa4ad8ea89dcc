"""Plants streams and consumers in the clusters of a fleet, and troubles that are wanted."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from itertools import accumulate

from nats_insights.lab.fleet.model import BORN, Cluster, Fleet
from nats_insights.lab.fleet.streams import Consumer, Stream, place

REPLICAS = 3
_KINDS = ("EVENTS", "COMMANDS", "STATE", "AUDIT", "METRICS", "JOBS")
_CONSUMERS = ("worker", "indexer", "mailer")
_DIGITS = string.digits + string.ascii_letters
# A lagging replica lacks a quarter of all sequences, where a tenth is too much.
_BEHIND = 4
# Of 100 messages that a consumer may leave without acknowledgement, so many wait for it.
_WAITING, _FULL = (0, 50), 95


def plant_streams(fleet: Fleet, cluster: Cluster, accounts: Sequence[str], per_server: int) -> None:
    """Gives every server of a cluster that many replicas, of streams of these accounts.

    Streams have three replicas, or one where there are fewer servers. The first account has most
    of them, the second one half as many, and so on; each has one to three consumers.
    """
    cluster.jetstream = tuple(sorted(accounts))
    weights = list(accumulate(1 / rank for rank in range(1, len(accounts) + 1)))
    servers = len(cluster.servers)
    replicas = REPLICAS if servers >= REPLICAS else 1
    for number in range(servers * per_server // replicas):
        (account,) = fleet.rng.choices(accounts, cum_weights=weights)
        place(cluster, _stream(fleet.rng, cluster, account, number, replicas))


def trouble(
    fleet: Fleet,
    *,
    lagging_replicas: int = 0,
    leaderless_streams: int = 0,
    unacknowledging_consumers: int = 0,
) -> None:
    """Lets so many replicas fall far behind, streams lose their leader, and consumers have nearly
    as many messages without acknowledgement as they may: each of another stream.

    What finds no stream of which all is well is left out.
    """
    for _ in range(lagging_replicas):
        for stream in _any(fleet, replicated=True):
            stream.fall_behind(stream.servers[-1], stream.last // _BEHIND)
    for _ in range(leaderless_streams):
        for stream in _any(fleet, replicated=True):
            stream.lose_leader()
    for _ in range(unacknowledging_consumers):
        for stream in _any(fleet, replicated=False):
            consumer = fleet.rng.choice(stream.consumers)
            consumer.leave_unacknowledged(consumer.max_ack_pending * _FULL // 100)


def recover(fleet: Fleet) -> None:
    """All is well with all streams from now on."""
    for cluster in fleet.clusters:
        for stream in cluster.streams:
            stream.recover()
        cluster.reassigned()


def _any(fleet: Fleet, *, replicated: bool) -> list[Stream]:
    """One stream of which all is well, or none."""
    clusters = [cluster for cluster in fleet.clusters if cluster.streams]
    streams = fleet.rng.choice(clusters).streams if clusters else []
    well = [one for one in streams if one.well and (one.replicated or not replicated)]
    return [fleet.rng.choice(well)] if well else []


def _stream(
    rng: random.Random, cluster: Cluster, account: str, number: int, replicas: int
) -> Stream:
    # The next stream begins where this one ends, so that all servers have equally many.
    count = len(cluster.servers)
    placed = [cluster.servers[(number * replicas + k) % count] for k in range(replicas)]
    rng.shuffle(placed)
    # More than a replica lacks that lags, and than a consumer leaves waiting.
    held = rng.randint(2_000, 50_000)
    first = rng.randint(1, held)
    created = BORN + rng.randrange(86_400)
    stream = Stream(
        name=f"{account.strip('$')}-{_KINDS[number % len(_KINDS)]}-{number + 1:05}",
        account=account,
        owner=_CONSUMERS[number % len(_CONSUMERS)],
        group=_group("S", replicas, rng),
        servers=tuple(placed),
        created=created,
        first=first,
        last=first + held - 1,
        message_bytes=rng.choice((128, 256, 1024)),
        subjects=rng.randint(1, 500),
        consumers=[],
    )
    for name in _CONSUMERS[: rng.randint(1, len(_CONSUMERS))]:
        stream.consumers.append(_consumer(rng, stream, name))
    return stream


def _consumer(rng: random.Random, stream: Stream, name: str) -> Consumer:
    delivered = stream.last - rng.randint(0, 100)
    servers = list(stream.servers)
    rng.shuffle(servers)
    return Consumer(
        name=name,
        group=_group("C", len(servers), rng),
        servers=tuple(servers),
        created=stream.created + 60,
        delivered=delivered,
        acknowledged=delivered - rng.randint(*_WAITING),
    )


def _group(kind: str, replicas: int, rng: random.Random) -> str:
    return f"{kind}-R{replicas}F-{''.join(rng.choices(_DIGITS, k=8))}"
