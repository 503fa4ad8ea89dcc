"""What the endpoints say agrees among them, as on real servers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from kit.fleet.asking import ask
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.plant import Faults, plant


@pytest.fixture(scope="module", params=[1, 2, 3])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    fleet = plant(9, 80, clusters=2, accounts=5, faults=Faults(), seed=request.param)
    fleet.churn(0.5, closed=3, opened=5)
    fleet.kill(fleet.servers[0])
    fleet.restart(fleet.servers[1])
    return fleet


def rows(fleet: Fleet, server: Any) -> list[dict[str, Any]]:
    return list(ask(fleet, server, "CONNZ", {"auth": True})["data"]["connections"])


def internal(fleet: Fleet, server: Any) -> int:
    """56 in the system account, and 4 in each other one that is loaded."""
    return 56 + 4 * (len(ask(fleet, server, "ACCOUNTZ")["data"]["accounts"]) - 1)


def subscriptions(links: list[dict[str, Any]]) -> int:
    return sum(link["subscriptions"] for link in links)


def test_what_is_left_of_all_subscriptions_is_local_and_internal(fleet: Fleet) -> None:
    check_identity(fleet)
    fleet.churn(0.5, closed=1, opened=7)
    check_identity(fleet)


def check_identity(fleet: Fleet) -> None:
    for server in fleet.running:
        varz = ask(fleet, server, "VARZ")["data"]["subscriptions"]
        routed = subscriptions(ask(fleet, server, "ROUTEZ")["data"]["routes"])
        leafs = subscriptions(ask(fleet, server, "LEAFZ")["data"]["leafs"])
        local = subscriptions([row for row in rows(fleet, server) if row["kind"] == "Client"])
        assert varz - routed - leafs == local + internal(fleet, server)
        assert routed > 0


def test_all_endpoints_know_of_the_same_subscriptions(fleet: Fleet) -> None:
    for server in fleet.running:
        statz = ask(fleet, server, "STATZ", {"include_unused": True})["data"]["account_statz"]
        known = {
            ask(fleet, server, "VARZ")["data"]["subscriptions"],
            ask(fleet, server, "STATSZ")["statsz"]["subscriptions"],
            ask(fleet, server, "SUBSZ")["data"]["num_subscriptions"],
            sum(row["num_subscriptions"] for row in statz),
        }
        assert len(known) == 1


def test_account_statistics_are_the_rows_of_connz_counted(fleet: Fleet) -> None:
    for server in fleet.running:
        statz = ask(fleet, server, "STATZ", {"include_unused": True})["data"]["account_statz"]
        told = {(row["acc"], "Client"): row["conns"] for row in statz}
        told |= {(row["acc"], "Leafnode"): row["leafnodes"] for row in statz}
        counted = Counter((row.get("account", "$G"), row["kind"]) for row in rows(fleet, server))
        assert {key: count for key, count in told.items() if count} == counted
        assert all(row["total_conns"] == row["conns"] + row["leafnodes"] for row in statz)


def test_subsz_counts_local_subscriptions_only_when_asked_to(fleet: Fleet) -> None:
    server = fleet.running[0]
    local = subscriptions([row for row in rows(fleet, server) if row["kind"] == "Client"])
    asked = ask(fleet, server, "SUBSZ", {"subscriptions": True, "limit": 1})["data"]
    assert ask(fleet, server, "SUBSZ")["data"]["total"] == 0
    assert asked["total"] == local + internal(fleet, server)


def test_subsz_lists_every_local_subscription_once_page_by_page(fleet: Fleet) -> None:
    server = fleet.running[0]
    pages = []
    while not pages or "subscriptions_list" in pages[-1]:
        options = {"subscriptions": True, "offset": 100 * len(pages), "limit": 100}
        pages.append(ask(fleet, server, "SUBSZ", options)["data"])
    listed = [row for page in pages[:-1] for row in page["subscriptions_list"]]
    assert {page["total"] for page in pages} == {len(listed)}
    assert len({(row["cid"], row["sid"]) for row in listed}) == len(listed)
    held = Counter(row["cid"] for row in listed if row["cid"] != 1)
    clients = [row for row in rows(fleet, server) if row["kind"] == "Client"]
    assert held == {row["cid"]: row["subscriptions"] for row in clients}


def test_subsz_tells_of_one_account_or_one_subject_alone(fleet: Fleet) -> None:
    server = fleet.running[0]
    options = {"subscriptions": True, "limit": 10**6}
    everything = ask(fleet, server, "SUBSZ", options)["data"]["subscriptions_list"]
    statz = ask(fleet, server, "STATZ", {"include_unused": True})["data"]["account_statz"]
    for account, known in ((row["acc"], row["num_subscriptions"]) for row in statz):
        alone = ask(fleet, server, "SUBSZ", {**options, "account": account})["data"]
        own = [row for row in everything if row["account"] == account]
        assert (alone["num_subscriptions"], alone["total"]) == (known, len(own))
        assert alone["subscriptions_list"] == own
    subject = everything[0]["subject"]
    tested = ask(fleet, server, "SUBSZ", {**options, "test": subject})["data"]
    assert (tested["total"], tested["subscriptions_list"]) == (1, everything[:1])
    nobody = ask(fleet, server, "SUBSZ", {**options, "account": "NOBODY"})["data"]
    assert (nobody["num_subscriptions"], nobody["total"]) == (0, 0)


def test_interest_comes_over_the_routes_of_the_cluster_only(fleet: Fleet) -> None:
    for server in fleet.running:
        data = ask(fleet, server, "ROUTEZ")["data"]
        peers = {p.id: p.name for p in server.cluster.running if p is not server}
        told = {route["remote_id"]: route["remote_name"] for route in data["routes"]}
        assert told == peers
        # Not all accounts share one of the four routes.
        assert sum(route["subscriptions"] > 0 for route in data["routes"]) == 4 * len(peers)
        assert data["num_routes"] == len(data["routes"]) == 4 * len(peers)


def test_both_ends_of_a_gateway_know_of_it(fleet: Fleet) -> None:
    outbound, inbound = set(), set()
    for server in fleet.running:
        data = ask(fleet, server, "GATEWAYZ")["data"]
        for gateway in data["outbound_gateways"].values():
            outbound.add((server.id, gateway["connection"]["name"]))
        for gateways in data["inbound_gateways"].values():
            inbound |= {(gateway["connection"]["name"], server.id) for gateway in gateways}
    assert len(outbound) == len(fleet.running)
    assert inbound == outbound


def test_a_server_without_connections_says_nothing_of_accounts_unless_asked() -> None:
    fleet = Fleet({"C1": ["a", "b"]})
    fleet.open(fleet.server("a"), User(account="APP", name="app"), 3)
    accounts = {
        name: ask(fleet, name, "STATZ")
        and [row["acc"] for row in ask(fleet, name, "STATZ")["data"]["account_statz"]]
        for name in ("a", "b")
    }
    unused = ask(fleet, "b", "STATZ", {"include_unused": True})["data"]["account_statz"]
    chosen = ask(fleet, "b", "STATZ", {"include_unused": True, "accounts": ["APP", "NOBODY"]})
    nobody = ask(fleet, "b", "STATZ", {"include_unused": True, "accounts": ["NOBODY"]})
    assert accounts == {"a": ["APP"], "b": None}
    assert [row["acc"] for row in unused] == ["SYS", "$G", "APP"]
    assert [row["acc"] for row in chosen["data"]["account_statz"]] == ["APP"]
    assert nobody["data"]["account_statz"] == []


def test_every_message_of_a_server_has_the_next_number() -> None:
    fleet = Fleet({"C1": ["a", "b"]})
    told = [ask(fleet, name, "VARZ")["server"]["seq"] for name in ("a", "a", "b", "a")]
    assert told == [1, 2, 1, 3]


def test_idz_has_no_envelope_and_looks_at_no_filter() -> None:
    fleet = Fleet({"C1": ["a"]})
    told = ask(fleet, "a", "IDZ", {"server_name": "nobody"})
    server = fleet.server("a")
    assert told == {"name": "a", "host": server.host, "id": server.id}


@pytest.mark.parametrize(
    ("options", "answered"),
    [
        ({}, ["eu-1", "eu-10", "us-1"]),
        ({"server_name": "eu-1"}, ["eu-1", "eu-10"]),
        ({"server_name": "eu-1", "exact_match": True}, ["eu-1"]),
        ({"exact_match": True}, ["eu-1", "eu-10", "us-1"]),
        ({"cluster": "U"}, ["eu-1", "eu-10", "us-1"]),
        ({"cluster": "EU"}, ["eu-1", "eu-10"]),
        ({"cluster": "U", "exact_match": True}, []),
        ({"server_name": "1", "cluster": "US"}, ["us-1"]),
        ({"host": "10.100.0.2"}, ["us-1"]),
        ({"tags": ["az:1"]}, []),
        ({"domain": "hub"}, []),
    ],
)
def test_servers_that_are_not_meant_stay_silent(
    options: dict[str, Any], answered: list[str]
) -> None:
    fleet = Fleet({"EU": ["eu-1", "eu-10"], "US": ["us-1"]})
    told = {
        endpoint: [s.name for s in fleet.servers if ask(fleet, s, endpoint, options) is not None]
        for endpoint in ("VARZ", "CONNZ", "STATSZ")
    }
    assert told == dict.fromkeys(("VARZ", "CONNZ", "STATSZ"), answered)


@pytest.mark.parametrize("endpoint", ["VARZ", "STATSZ", "ROUTEZ", "STATZ"])
def test_every_endpoint_refuses_a_filter_of_a_wrong_type(endpoint: str) -> None:
    fleet = Fleet({"C1": ["a"]})
    reply = ask(fleet, "a", endpoint, {"server_name": 7})
    assert reply["error"]["code"] == 400
    assert set(reply) == {"server", "error"}


def test_a_server_has_loaded_the_accounts_that_have_connections_to_its_cluster() -> None:
    fleet = Fleet({"C1": ["a", "b"], "C2": ["c"]})
    fleet.open(fleet.server("a"), User(account="APP", name="app"))
    fleet.open(fleet.server("c"), User(account="EDGE", name="edge", kind="leaf"))
    loaded = {name: ask(fleet, name, "ACCOUNTZ")["data"]["accounts"] for name in "abc"}
    elsewhere = ask(fleet, "c", "ACCOUNTZ", {"account": "APP"})
    assert loaded == {
        "a": ["SYS", "$G", "APP"],
        "b": ["SYS", "$G", "APP"],
        "c": ["SYS", "$G", "EDGE"],
    }
    assert elsewhere["error"]["code"] == 500
    assert ask(fleet, "c", "CONNZ", {"acc": "APP"})["data"]["connections"] is None


def test_an_account_is_told_in_detail_if_it_exists() -> None:
    fleet = Fleet({"C1": ["a"]})
    fleet.open(fleet.server("a"), User(account="APP", name="app"), 3, subscriptions=2)
    detail = ask(fleet, "a", "ACCOUNTZ", {"account": "APP"})["data"]["account_detail"]
    nobody = ask(fleet, "a", "ACCOUNTZ", {"account": "NOBODY"})
    assert ask(fleet, "a", "ACCOUNTZ")["data"]["accounts"] == ["SYS", "$G", "APP"]
    assert (detail["client_connections"], detail["subscriptions"]) == (3, 10)
    assert nobody["error"] == {"code": 500, "description": "Account NOBODY does not exist"}
