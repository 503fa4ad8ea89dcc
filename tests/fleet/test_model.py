"""Connections come and go, and servers live and die, as real servers count it."""

from __future__ import annotations

from typing import Any

import pytest

from kit.fleet.asking import ask, cids
from nats_insights.lab.fleet.model import BORN, SYSTEM_ACCOUNT, Fleet, User
from nats_insights.lab.fleet.plant import plant

APP = User(account="APP", name="app")


@pytest.fixture
def fleet() -> Fleet:
    return plant(10, 40, clusters=2)


def identity(fleet: Fleet, server: Any) -> tuple[Any, ...]:
    """What is the same as long as a server has not lived anew."""
    varz = ask(fleet, server, "VARZ")["data"]
    return varz["server_id"], varz["start"], varz["config_load_time"]


def counts(fleet: Fleet, server: Any) -> tuple[int, int]:
    varz = ask(fleet, server, "VARZ")["data"]
    return varz["connections"], varz["total_connections"]


def test_every_accept_raises_the_total_and_every_close_lowers_what_is_open(fleet: Fleet) -> None:
    server = fleet.servers[0]
    connections, total = counts(fleet, server)
    fleet.open(server, APP, 5)
    fleet.close_some(server, 3)
    assert counts(fleet, server) == (connections + 2, total + 5)


def test_a_leaf_node_is_not_counted_as_a_client(fleet: Fleet) -> None:
    server = fleet.servers[0]
    before = counts(fleet, server)
    fleet.open(server, User(account="APP", name="edge", kind="leaf"))
    assert counts(fleet, server) == before


def test_cids_grow_and_never_come_again(fleet: Fleet) -> None:
    server = fleet.servers[0]
    last = cids(fleet, server)[-1]
    fleet.close(server, last)
    fleet.open(server, APP, 2)
    assert cids(fleet, server)[-2:] == [last + 1, last + 2]


def test_closing_what_is_not_open_is_refused(fleet: Fleet) -> None:
    server = fleet.servers[0]
    fleet.close(server, 30)
    with pytest.raises(KeyError, match="30"):
        fleet.close(server, 30)


def test_closes_can_be_kept_to_the_rows_read_already(fleet: Fleet) -> None:
    server = fleet.servers[0]
    before = cids(fleet, server)
    fleet.close_some(server, 4, below=10)
    assert [cid for cid in before if cid not in cids(fleet, server)] == sorted(
        set(before[:10]) - set(cids(fleet, server))
    )
    assert len(cids(fleet, server)) == len(before) - 4


def test_churn_changes_the_share_that_it_says_and_nothing_else(fleet: Fleet) -> None:
    before = {server.name: (cids(fleet, server), counts(fleet, server)) for server in fleet.servers}
    lives = {server.name: identity(fleet, server) for server in fleet.servers}
    touched = fleet.churn(0.2, closed=2, opened=3)
    changed = {s.name for s in fleet.servers if cids(fleet, s) != before[s.name][0]}
    assert changed == {server.name for server in touched}
    assert len(touched) == 2
    for server in touched:
        connections, total = before[server.name][1]
        assert counts(fleet, server) == (connections + 1, total + 3)
    assert {server.name: identity(fleet, server) for server in fleet.servers} == lives


def test_churn_brings_no_users_that_were_not_there(fleet: Fleet) -> None:
    known = len(fleet.users)
    before = {server.name: set(cids(fleet, server)) for server in fleet.servers}
    fleet.churn(1.0, closed=0, opened=20)
    came = [
        connection.user
        for server in fleet.servers
        for connection in fleet.connections(server)
        if connection.cid not in before[server.name]
    ]
    assert len(came) == 200
    assert len(fleet.users) == known
    assert not [u for u in came if u.kind == "leaf" or u.account == SYSTEM_ACCOUNT]


def test_users_who_come_by_churn_are_of_their_cluster() -> None:
    fleet = Fleet({"C1": ["a", "b"], "C2": ["c"]})
    fleet.open(fleet.server("a"), User(account="APP", name="a"), 5)
    fleet.open(fleet.server("c"), User(account="APP", name="c"), 5)
    fleet.churn(1.0, closed=0, opened=20)
    on = {s.name: {c.user.name for c in fleet.connections(s)} for s in fleet.servers}
    assert on == {"a": {"a"}, "b": {"a"}, "c": {"c"}}


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 1), (0.2, 2), (0.21, 3), (1.0, 10)])
def test_a_share_of_the_servers_is_at_least_one(fleet: Fleet, share: float, count: int) -> None:
    assert len(fleet.some(share)) == count


def test_a_share_is_not_rounded_up_for_the_sake_of_floats() -> None:
    assert len(plant(100, 0).some(0.07)) == 7


def test_a_restarted_server_has_another_id_and_its_clients_again(fleet: Fleet) -> None:
    server = fleet.servers[3]
    old, users = server.id, [c.user for c in fleet.connections(server)]
    before = identity(fleet, server)
    fleet.restart(server)
    clients = sum(user.kind != "leaf" for user in users)
    assert [c.user for c in fleet.connections(server)] == users
    assert counts(fleet, server) == (clients, clients)
    assert set(identity(fleet, server)).isdisjoint(before)
    assert (old in fleet.ids, old in fleet.dead, fleet.ids[server.id]) == (False, True, server)


def test_a_dead_server_is_forgotten_by_its_peers(fleet: Fleet) -> None:
    server, peer = fleet.servers[:2]
    fleet.kill(server)
    routes = ask(fleet, peer, "ROUTEZ")["data"]["routes"]
    assert server.name not in {route["remote_name"] for route in routes}
    assert ask(fleet, peer, "VARZ")["data"]["remotes"] == 3
    assert ask(fleet, peer, "STATSZ")["statsz"]["active_servers"] == 9
    assert server not in fleet.running


def test_servers_started_long_ago_by_the_clock_of_the_fleet() -> None:
    fleet = Fleet({"C1": ["a"]}, clock=lambda: BORN + 90_061.5)
    varz = ask(fleet, "a", "VARZ")["data"]
    told = varz["start"], varz["now"], varz["uptime"]
    assert told == ("2025-01-01T00:00:00.000000000Z", "2025-01-02T01:01:01.500000000Z", "1d1h1m1s")
