"""The truth table follows the rules of the five founding checks to the unit."""

from __future__ import annotations

from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Fleet, User
from nats_insights.lab.fleet.truth import truth

SYSTEM = User(account=SYSTEM_ACCOUNT, name="observer")


def cluster(connections: list[int], subscriptions: int = 0) -> Fleet:
    """Servers a, b, c … of cluster C1; each connection has a user of its own, none an account
    that is large enough to be concentrated."""
    fleet = Fleet({"C1": "abcdefgh"[: len(connections)]})
    for server, count in zip(fleet.servers, connections, strict=True):
        for turn in range(count):
            user = User(account=f"{turn % 9}", name=f"{server.name}-{turn}")
            fleet.open(server, user, subscriptions=subscriptions)
    return fleet


def found(fleet: Fleet, code: str) -> set[tuple[str, ...]]:
    return {name for told, name in truth(fleet) if told == code}


def test_a_server_with_twice_the_mean_of_its_cluster_is_a_hotspot() -> None:
    assert found(cluster([20, 10, 10, 0]), "OPT_BALANCE_002") == {("C1", "a")}


def test_a_server_with_one_connection_less_is_none() -> None:
    assert found(cluster([19, 10, 10, 1]), "OPT_BALANCE_002") == set()


def test_ten_connections_make_a_hotspot_and_nine_do_not() -> None:
    assert found(cluster([10, 0]), "OPT_BALANCE_002") == {("C1", "a")}
    assert found(cluster([9, 0]), "OPT_BALANCE_002") == set()


def test_a_server_alone_in_its_cluster_is_no_hotspot() -> None:
    assert found(cluster([50], subscriptions=9), "OPT_BALANCE_002") == set()
    assert found(cluster([50], subscriptions=9), "OPT_BALANCE_003") == set()


def test_each_cluster_has_a_mean_of_its_own() -> None:
    fleet = Fleet({"C1": ["a", "b"], "C2": ["c", "d"]})
    for name, count in (("a", 100), ("b", 100), ("c", 10)):
        fleet.open(fleet.server(name), User(account="APP", name=name), count)
    assert found(fleet, "OPT_BALANCE_002") == {("C2", "c")}


def test_connections_of_the_system_account_and_leaf_nodes_make_no_hotspot() -> None:
    fleet = cluster([10, 10, 10], subscriptions=10)
    leaf = User(account="0", name="edge", kind="leaf")
    fleet.open(fleet.server("a"), SYSTEM, 50, subscriptions=10)
    fleet.open(fleet.server("a"), leaf, 50, subscriptions=10)
    assert truth(fleet) == set()


def test_a_server_with_twice_the_subscriptions_is_a_hotspot_from_a_hundred_on() -> None:
    fleet = Fleet({"C1": ["a", "b"], "C2": ["c", "d"], "C3": ["e", "f"]})
    for name, subscriptions in (("a", 100), ("c", 99), ("e", 101), ("f", 2)):
        user = User(account="APP", name=name)
        fleet.open(fleet.server(name), user, subscriptions=subscriptions)
    assert truth(fleet) == {("OPT_BALANCE_003", ("C1", "a"))}


def test_an_account_is_concentrated_above_seven_tenths_on_one_of_three_servers() -> None:
    fleet = Fleet({"C1": ["a", "b", "c"], "C2": ["d", "e"]})
    held = {"SEVEN": (7, 3, 0), "EIGHT": (8, 2, 0), "NINE": (9, 0, 0), "SYS": (50, 0, 0)}
    for account, counts in held.items():
        for server, count in zip(fleet.servers, counts, strict=False):
            fleet.open(server, User(account=account, name=account), count)
    fleet.open(fleet.server("d"), User(account="EIGHT", name="EIGHT"), 20)
    assert found(fleet, "OPT_BALANCE_006") == {("C1", "EIGHT")}


def test_a_server_is_crowded_from_four_fifths_of_its_limit_on() -> None:
    fleet = cluster([80, 79, 79])
    for server in fleet.servers:
        server.max_connections = 100
    # The system account's connections count here, and a leaf node does not.
    fleet.open(fleet.server("b"), SYSTEM)
    fleet.open(fleet.server("c"), User(account="0", name="edge", kind="leaf"))
    assert found(fleet, "SERVER_011") == {("C1", "a"), ("C1", "b")}


def test_a_user_has_too_many_connections_above_a_hundred_over_all_servers() -> None:
    fleet = Fleet({"C1": ["a", "b"], "C2": ["c"]})
    held = {("APP", "x"): 101, ("APP", "y"): 100, ("BIG", "y"): 100, ("$G", "x"): 150}
    for (account, name), count in held.items():
        user = User(account=account, name=name)
        for turn in range(count):
            fleet.open(fleet.servers[turn % 3], user)
    fleet.open(fleet.server("a"), User(account="APP", name="y", kind="leaf"))
    assert truth(fleet) == {("USER_002", ("APP", "x")), ("USER_002", ("$G", "x"))}


def test_programs_of_one_user_are_counted_together() -> None:
    fleet = Fleet({"C1": ["a", "b"]})
    for turn, program in enumerate(("api", "worker")):
        user = User(account="APP", name="app", program=program)
        fleet.open(fleet.servers[turn], user, 51)
    assert found(fleet, "USER_002") == {("APP", "app")}


def test_dead_servers_are_not_there() -> None:
    fleet = cluster([20, 20, 0, 0])
    assert found(fleet, "OPT_BALANCE_002") == {("C1", "a"), ("C1", "b")}
    fleet.kill(fleet.server("b"))
    assert found(fleet, "OPT_BALANCE_002") == {("C1", "a")}
    for name in ("c", "d"):
        fleet.kill(fleet.server(name))
    assert found(fleet, "OPT_BALANCE_002") == set()
