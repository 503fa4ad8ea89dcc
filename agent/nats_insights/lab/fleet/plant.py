"""Makes a fleet of a wanted size with realistic users, and with faults that are wanted too."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Callable
from itertools import accumulate, islice
from sys import intern

from msgspec import Struct

from nats_insights.lab.fleet import names
from nats_insights.lab.fleet.model import (
    BORN,
    GLOBAL_ACCOUNT,
    MAX_CONNECTIONS,
    SYSTEM_ACCOUNT,
    Cluster,
    Fleet,
    Server,
    User,
)
from nats_insights.lab.fleet.plant_streams import plant_streams, trouble

_SERVERS_PER_CLUSTER = 10
# Connections of one ordinary user: two at least, 5.3 in the mean, and far from the 100 that are
# excessive, growth allowed for. A few hold most of them, as a few accounts have most of the users.
_LEAST_HELD, _MOST_HELD, _TAIL = 2, 80, 1.4
_SUBSCRIPTIONS = (1, 1, 2, 3, 4, 8)
_LEAKED = 150
_CONCENTRATED = 20
_MOST_OBSERVERS = 50
# Accounts of a cluster that use JetStream.
_STREAMING = 8


class Faults(Struct, frozen=True, kw_only=True):
    """How many faults of each kind are planted; those that find no place are left out.

    Hotspots and concentrated accounts need a cluster of three servers, each one of its own; the
    last three kinds need streams.
    """

    connection_hotspots: int = 1
    subscription_hotspots: int = 1
    concentrated_accounts: int = 1
    crowded_servers: int = 1
    leaking_users: int = 1
    lagging_replicas: int = 1
    leaderless_streams: int = 1
    unacknowledging_consumers: int = 1


HEALTHY = Faults(
    connection_hotspots=0,
    subscription_hotspots=0,
    concentrated_accounts=0,
    crowded_servers=0,
    leaking_users=0,
    lagging_replicas=0,
    leaderless_streams=0,
    unacknowledging_consumers=0,
)


def plant(
    servers: int,
    connections: int,
    *,
    clusters: int | None = None,
    accounts: int = 24,
    streams: int = 0,
    faults: Faults = HEALTHY,
    seed: int = 1,
    clock: Callable[[], float] = time.time,
) -> Fleet:
    """A fleet of that many servers with about `connections` client connections each.

    By default ten servers to a cluster. A cluster has so many `accounts`, a third of them found
    in every other one too. `streams` is how many replicas of streams each server has; without
    them JetStream is off. The same arguments make the same fleet.
    """
    clusters = clusters or -(-servers // _SERVERS_PER_CLUSTER)
    fleet = Fleet(_layout(servers, clusters), seed=seed, clock=clock)
    wide = [cluster for cluster in fleet.clusters if len(cluster.servers) >= 3]
    fleet.rng.shuffle(wide)
    crowded = {_any_server(fleet, wide) for _ in wide[: faults.connection_hotspots]}
    busy = {_any_server(fleet, wide) for _ in wide[: faults.subscription_hotspots]}
    _populate(fleet, connections, accounts, crowded, busy)
    for number, cluster in enumerate(fleet.clusters[:_MOST_OBSERVERS]):
        _observe(fleet, cluster, number)
    for number in range(min(faults.concentrated_accounts, len(wide))):
        _concentrate(fleet, wide.pop(), number)
    for number in range(faults.leaking_users):
        _leak(fleet, number)
    _limit(fleet, faults.crowded_servers)
    if streams:
        for cluster in fleet.clusters:
            tenants = _tenants(cluster.number, accounts)[-_STREAMING:]
            plant_streams(fleet, cluster, tenants, streams)
    trouble(
        fleet,
        lagging_replicas=faults.lagging_replicas,
        leaderless_streams=faults.leaderless_streams,
        unacknowledging_consumers=faults.unacknowledging_consumers,
    )
    return fleet


def _layout(servers: int, clusters: int) -> dict[str, list[str]]:
    layout: dict[str, list[str]] = {}
    for number in range(clusters):
        size = servers * (number + 1) // clusters - servers * number // clusters
        name = names.cluster(number)
        layout[name] = [names.server(name, k) for k in range(size)]
    return layout


def _any_server(fleet: Fleet, wide: list[Cluster]) -> Server:
    """A server of the next cluster, which is then taken."""
    return fleet.rng.choice(wide.pop().servers)


def _populate(
    fleet: Fleet, connections: int, accounts: int, crowded: set[Server], busy: set[Server]
) -> None:
    """Deals the connections of ordinary users to the servers, as from shuffled decks.

    One deck for each cluster, since clients know the addresses of one.
    """
    spread = connections // 10
    held = {s: connections + fleet.rng.randint(-spread, spread) for s in fleet.servers}
    for server in crowded:
        held[server] = int(connections * _factor(server) * 1.15)
    decks = {
        cluster.name: iter(_deck(fleet, cluster, sum(held[s] for s in cluster.servers), accounts))
        for cluster in fleet.clusters
    }
    for server, count in held.items():
        users = array("I", islice(decks[server.cluster.name], count))
        weight = 1 + int(_factor(server) * 1.3) if server in busy else 1
        subscriptions = array("I", fleet.rng.choices(_SUBSCRIPTIONS, k=count))
        if weight > 1:
            subscriptions = array("I", [weight * figure for figure in subscriptions])
        # They came within the first hour.
        opened = array("I", [BORN + 3600 * row // count for row in range(count)])
        fleet.accept(server, users, subscriptions, opened)


def _factor(server: Server) -> float:
    """How many times its peers' load makes a server of a cluster of three or more a hotspot."""
    peers = len(server.cluster.servers) - 1
    return 2 * peers / (peers - 1)


def _deck(fleet: Fleet, cluster: Cluster, connections: int, accounts: int) -> array[int]:
    """A user number for each connection, in random order; $G has users as any account."""
    rng, tenants = fleet.rng, _tenants(cluster.number, accounts)
    rng.shuffle(tenants)
    # The second largest account has half as many users as the largest, the third one a third.
    weights = list(accumulate(1 / rank for rank in range(1, accounts + 1)))
    deck = array("I")
    while len(deck) < connections:
        (account,) = rng.choices(tenants, cum_weights=weights)
        user = _user(rng, account, len(fleet.users))
        held = min(_MOST_HELD, int(_LEAST_HELD * rng.paretovariate(_TAIL)))
        deck.extend([fleet.number(user)] * held)
    del deck[connections:]
    rng.shuffle(deck)
    return deck


def _tenants(cluster: int, accounts: int) -> list[str]:
    """The accounts of the cluster with this number, from 0: those of all clusters, and its own."""
    everywhere = max(1, accounts // 3)
    first = everywhere - 1 + cluster * (accounts - everywhere)
    numbers = [*range(everywhere - 1), *range(first, first + accounts - everywhere)]
    return [GLOBAL_ACCOUNT, *(names.account(number) for number in numbers)]


def _user(rng: random.Random, account: str, number: int) -> User:
    program = names.PROGRAMS[number % len(names.PROGRAMS)]
    lang, version = rng.choice(names.CLIENTS)
    name = intern(f"{account.lower().strip('$')}-{program}")
    return User(
        account=account,
        name=f"{name}-{number:05}",
        kind=rng.choices(("nats", "websocket", "mqtt"), (90, 6, 4))[0],
        program=name,
        lang=lang,
        version=version,
    )


def _observe(fleet: Fleet, cluster: Cluster, number: int) -> None:
    """Gives a cluster what checks have to leave out: a leaf node, and a system connection."""
    if cluster.servers:
        server = cluster.servers[number % len(cluster.servers)]
        leaf = User(account=names.account(0), name="edge", kind="leaf", program="edge")
        fleet.open(server, leaf, subscriptions=17)
        fleet.open(server, User(account=SYSTEM_ACCOUNT, name="observer"), subscriptions=2)


def _concentrate(fleet: Fleet, cluster: Cluster, number: int) -> None:
    """An account with nine tenths of its connections on one server of its cluster."""
    user = User(account=f"BATCH-{number + 1}", name=f"batch-{number + 1}", program="batch")
    chosen = fleet.rng.choice(cluster.servers)
    other = next(server for server in cluster.servers if server is not chosen)
    fleet.open(chosen, user, _CONCENTRATED * 9 // 10, subscriptions=2)
    fleet.open(other, user, _CONCENTRATED // 10, subscriptions=2)


def _leak(fleet: Fleet, number: int) -> None:
    """A user who holds far too many connections, spread evenly over all servers."""
    user = User(account=names.account(number), name=f"leaking-{number + 1}", program="cron")
    for turn in range(_LEAKED):
        fleet.open(fleet.servers[turn % len(fleet.servers)], user)


def _limit(fleet: Fleet, crowded: int) -> None:
    """Sets limits: out of reach, but a little above what is open on the crowded servers."""
    most = max((len(server.cids) for server in fleet.servers), default=0)
    for server in fleet.servers:
        server.max_connections = max(MAX_CONNECTIONS, 2 * most)
    # A server without connections would get a limit of 0, which means something else.
    full = [server for server in fleet.servers if server.cids]
    for server in fleet.rng.sample(full, min(crowded, len(full))):
        server.max_connections = max(1, len(server.cids) * 10 // 9)
