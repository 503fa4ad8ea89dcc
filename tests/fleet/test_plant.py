"""Planted fleets have the size, the faults and nothing but the faults that were asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from kit.fleet.asking import ask
from nats_insights.lab.fleet.counts import accounts
from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Fleet
from nats_insights.lab.fleet.plant import HEALTHY, Faults, plant
from nats_insights.lab.fleet.truth import truth

MANY = Faults(
    connection_hotspots=2,
    subscription_hotspots=3,
    concentrated_accounts=2,
    crowded_servers=4,
    leaking_users=3,
)


def codes(fleet: Fleet) -> Counter[str]:
    return Counter(code for code, _ in truth(fleet))


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_fleet_has_no_faults(seed: int) -> None:
    assert truth(plant(40, 200, faults=HEALTHY, seed=seed)) == set()


@pytest.mark.parametrize("seed", range(5))
def test_planted_faults_are_true_and_nothing_else_is(seed: int) -> None:
    found = codes(plant(100, 200, faults=MANY, seed=seed))
    # Servers with too many connections may have too many subscriptions as well.
    assert found.pop("OPT_BALANCE_003") in (3, 4, 5)
    assert found == {"OPT_BALANCE_002": 2, "OPT_BALANCE_006": 2, "SERVER_011": 4, "USER_002": 3}


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        (Faults(subscription_hotspots=0), "OPT_BALANCE_002"),
        (Faults(connection_hotspots=0), "OPT_BALANCE_003"),
    ],
)
def test_a_cluster_of_three_has_room_for_a_hotspot(faults: Faults, code: str) -> None:
    assert codes(plant(3, 500, faults=faults))[code] == 1


def test_faults_without_a_place_are_left_out() -> None:
    # Clusters of two; what is left needs no neighbours.
    assert set(codes(plant(20, 200, clusters=10, faults=MANY))) == {"SERVER_011", "USER_002"}


def test_the_fleet_has_the_size_that_was_asked_for() -> None:
    fleet = plant(25, 200, clusters=4)
    sizes = [len(cluster.servers) for cluster in fleet.clusters]
    connections = [ask(fleet, s, "VARZ")["data"]["connections"] for s in fleet.servers]
    assert (sorted(sizes), len({s.name for s in fleet.servers})) == ([6, 6, 6, 7], 25)
    # A tenth more or less, and the connection of the system account.
    assert 180 <= min(connections) < 200 < max(connections) <= 221


def test_users_are_many_hold_few_connections_each_and_know_several_servers() -> None:
    fleet = plant(20, 500)
    on: Counter[int] = Counter()
    for server in fleet.servers:
        on.update(set(server.users))
    ordinary = [number for number in on if fleet.users[number].account != SYSTEM_ACCOUNT]
    connections = sum(len(server.cids) for server in fleet.servers)
    assert 5 < connections / len(ordinary) < 6
    assert sum(on[number] > 1 for number in ordinary) > 0.9 * len(ordinary)


def test_a_few_accounts_have_most_of_the_users() -> None:
    users = Counter(user.account for user in plant(20, 500).users)
    few = [count for _, count in users.most_common(len(users) // 5)]
    assert sum(few) > sum(users.values()) / 2


def test_clusters_share_some_accounts_and_have_others_to_themselves() -> None:
    fleet = plant(30, 200, clusters=3, accounts=12)
    known = [set(accounts(fleet, cluster)) for cluster in fleet.clusters]
    assert [len(here) for here in known] == [13, 13, 13]
    assert set.intersection(*known) == {"SYS", "$G", "ORDERS", "PAYMENTS", "INVENTORY"}
    assert len(set.union(*known)) == 5 + 3 * 8


def test_servers_without_connections_are_a_fleet_too() -> None:
    assert truth(plant(4, 0)) == set()
    assert codes(plant(4, 0, faults=Faults())) == {"SERVER_011": 1, "USER_002": 1}


def test_the_same_seed_makes_the_same_fleet() -> None:
    def told(seed: int) -> list[tuple[object, ...]]:
        fleet = plant(20, 50, faults=Faults(), seed=seed)
        fleet.churn(0.5)
        return [
            (s.name, s.id, s.max_connections, *((c.cid, c.user.name) for c in fleet.connections(s)))
            for s in fleet.servers
        ]

    assert told(7) == told(7)
    assert told(7) != told(8)


def test_a_connection_takes_sixteen_bytes() -> None:
    server = plant(1, 1000).servers[0]
    columns = (server.cids, server.users, server.subscriptions, server.opened)
    assert sum(column.itemsize for column in columns) == 16
