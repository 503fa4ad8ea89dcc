"""What is wrong with a simulated fleet, counted naively from single connections and replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Cluster, Fleet
from nats_insights.lab.fleet.streams import Stream

Fact: TypeAlias = tuple[str, tuple[str, ...]]


def truth(fleet: Fleet) -> set[Fact]:
    """Every (code, name of the entity) that the five founding checks have to find, by default.

    A server is (cluster, name), an account in a cluster (cluster, account), a user
    (account, name). Dead servers do not exist. It knows nothing of what was planted.
    """
    return {*_of_servers(fleet), *_of_accounts(fleet), *_of_users(fleet)}


def _of_servers(fleet: Fleet) -> Iterator[Fact]:
    for cluster in fleet.clusters:
        clients: dict[str, int] = {}
        subscriptions: dict[str, int] = {}
        for server in cluster.running:
            rows = [row for row in fleet.connections(server) if row.user.kind != "leaf"]
            own = [row for row in rows if row.user.account != SYSTEM_ACCOUNT]
            clients[server.name] = len(own)
            subscriptions[server.name] = sum(row.subscriptions for row in own)
            # The server's own test counts the system account's connections too.
            if 0 < server.max_connections * 8 <= len(rows) * 10:
                yield "SERVER_011", (cluster.name, server.name)
        for name in _hot(clients, 10):
            yield "OPT_BALANCE_002", (cluster.name, name)
        for name in _hot(subscriptions, 100):
            yield "OPT_BALANCE_003", (cluster.name, name)


def _hot(figures: dict[str, int], least: int) -> Iterator[str]:
    """Whose figure is at least `least` and twice the mean; a server alone never has that."""
    total = sum(figures.values())
    for name, figure in figures.items():
        if figure >= least and figure * len(figures) >= 2 * total:
            yield name


def _of_accounts(fleet: Fleet) -> Iterator[Fact]:
    for cluster in fleet.clusters:
        if len(cluster.running) < 3:
            continue
        totals: Counter[str] = Counter()
        largest: Counter[str] = Counter()
        for server in cluster.running:
            rows = fleet.connections(server)
            here = Counter(row.user.account for row in rows if row.user.kind != "leaf")
            totals += here
            largest |= here
        for account, total in totals.items():
            concentrated = total >= 10 and largest[account] * 10 > total * 7
            if concentrated and account != SYSTEM_ACCOUNT:
                yield "OPT_BALANCE_006", (cluster.name, account)


def _of_users(fleet: Fleet) -> Iterator[Fact]:
    held: Counter[tuple[str, str]] = Counter()
    for server in fleet.running:
        rows = fleet.connections(server)
        held.update((r.user.account, r.user.name) for r in rows if r.user.kind != "leaf")
    for user, count in held.items():
        if count > 100:
            yield "USER_002", user


def stream_truth(fleet: Fleet) -> set[Fact]:
    """Every (code, names) that is wrong with the streams and consumers of a fleet.

    JETSTREAM_001: a replica of (cluster, account, stream, server) lacks more than a tenth of the
    sequences that its leader has. OPT_SYS_009: nobody leads the group (cluster, server, account,
    group), of which that server is a member. OPT_SYS_003: at least four fifths of the messages
    that the consumer (cluster, account, stream, consumer) may leave without acknowledgement are.
    """
    return {fact for c in fleet.clusters for stream in c.streams for fact in _of_stream(c, stream)}


def _of_stream(cluster: Cluster, stream: Stream) -> Iterator[Fact]:
    for server in stream.servers:
        if not server.running:
            continue
        of, last = (cluster.name, stream.account), stream.last_on(server)
        if stream.leader and last and 10 * (stream.last - last) > stream.last:
            yield "JETSTREAM_001", (*of, stream.name, server.name)
        for asset in (stream, *stream.consumers):
            if asset.replicated and asset.leader is None:
                yield "OPT_SYS_009", (cluster.name, server.name, stream.account, asset.group)
    for consumer in stream.consumers:
        if 5 * consumer.ack_pending >= 4 * consumer.max_ack_pending:
            yield "OPT_SYS_003", (cluster.name, stream.account, stream.name, consumer.name)
