"""Nouns: who each one says it is, and the figures that it makes of others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nats_insights import checks, testing
from nats_insights.check import (
    Account,
    AccountInCluster,
    AccountOverGateways,
    Cluster,
    ListedAccount,
    Server,
    System,
    User,
    largest,
)
from nats_insights.errors import Missing, NotTold
from nats_insights.judge.declare import discover
from nats_insights.model.build import seconds_between
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.leafz import Leaf, Leafz
from nats_insights.replies.routez import Link, Routez
from nats_insights.replies.varz import Varz
from scenario import Story, cluster, system, whole


def snapshot(given, lost=()) -> Snapshot:
    """What one epoch hears, with all checks asking and all connections read."""
    story = Story('[gather]\nsweep = "all"', checks=discover(checks))
    story.hears(given, lost)
    return story.snapshot


ENTITIES = {
    Server: {"kind": "server", "id": "id of C1 n1", "name": "n1", "server": "n1", "cluster": "C1"},
    Cluster: {"kind": "cluster", "id": "C1", "name": "C1", "cluster": "C1"},
    Account: {"kind": "account", "id": "APP", "name": "APP", "account": "APP"},
    ListedAccount: {"kind": "account", "id": "APP", "name": "APP", "account": "APP"},
    AccountInCluster: {
        "kind": "account_in_cluster",
        "id": "APP",
        "name": "APP",
        "account": "APP",
        "cluster": "C1",
    },
    User: {"kind": "user", "id": "app", "name": "app", "account": "APP", "user": "app"},
    System: {"kind": "system", "id": "system", "name": "system"},
}


@pytest.mark.parametrize(
    ("kind", "expected"), ENTITIES.items(), ids=[kind.kind for kind in ENTITIES]
)
def test_each_noun_says_who_it_is(kind, expected):
    (noun,) = snapshot(system(cluster(n1=1))).each(kind)
    assert noun.entity() == expected


@pytest.mark.parametrize("kind", ENTITIES)
def test_the_labels_of_a_noun_are_those_that_overrides_may_name(kind):
    (noun,) = snapshot(system(cluster(n1=1))).each(kind)
    assert tuple(sorted(noun.labels())) == tuple(sorted(kind.labelled))


def test_a_word_that_no_server_has_is_an_error_and_not_missing():
    (server,) = snapshot(system(cluster(n1=1))).each(Server)
    with pytest.raises(AttributeError):
        _ = server.conections


INTEREST = {
    "all of it its own": (100, 0, 0, 100),
    "some over routes": (100, 30, 0, 70),
    "some over leaf nodes": (100, 0, 10, 90),
    "some over both": (100, 20, 5, 75),
    "more than there is, between two replies": (100, 101, 0, 0),
}


@pytest.mark.parametrize(("total", "routed", "leaves", "expected"), INTEREST.values(), ids=INTEREST)
def test_local_interest_is_what_no_link_brought(total, routed, leaves, expected):
    server = Server("n1", None, Snapshot(0.0))
    server.varz = Varz(subscriptions=total)
    server.replies = {
        "ROUTEZ": Routez(routes=[Link(subscriptions=routed)]),
        "LEAFZ": Leafz(leafs=[Leaf(subscriptions=leaves)]),
    }
    assert server.local_interest == expected


USING = {"config": {"max_memory": 7}, "stats": {"storage": 8, "api": {"total": 9}}}


@pytest.mark.parametrize(
    ("jetstream", "expected"),
    [
        (None, (0, 0, 0)),
        ({}, (0, 0, 0)),
        ({"stats": {"storage": 8}}, (0, 8, 0)),
        (USING, (7, 8, 9)),
    ],
)
def test_a_server_without_jetstream_uses_nothing_of_it(jetstream, expected):
    (one,) = snapshot(system(cluster(n1=testing.Server(varz={"jetstream": jetstream})))).each(
        Server
    )
    told = (one.jetstream_config.max_memory, one.jetstream_stats.storage, one.jetstream_api.total)
    assert told == expected


def test_what_a_silent_server_uses_is_missing():
    (one,) = snapshot(system(cluster(n1=1)), [("n1", "VARZ")]).each(Server)
    for figure in ("jetstream_config", "jetstream_stats", "jetstream_api"):
        with pytest.raises(Missing, match="VARZ of n1"):
            getattr(one, figure)


def test_accounts_that_are_on_no_gateway_are_not_among_those_over_gateways():
    here = snapshot(whole("2.15.1"))
    over = {noun.name: noun.traffic for noun in here.each(AccountOverGateways)}
    assert all(sum(traffic.over_gateways.values()) for traffic in over.values())
    assert set(over) < {noun.name for noun in here.each(Account)}


def test_the_traffic_of_an_account_is_not_known_where_a_server_is_too_old():
    (noun, *_) = snapshot(whole("2.10.26")).each(AccountOverGateways)
    with pytest.raises(NotTold, match=r"gateways of .* not told by 2\.10\.26"):
        _ = noun.traffic


@pytest.mark.parametrize("version", ["2.10.26", "2.15.1"])
def test_listed_accounts_have_clients_or_have_not(version):
    here = snapshot(whole(version))
    active = {noun.name: noun.activity for noun in here.each(ListedAccount)}
    assert active.keys() == {"APP", "BIG", "OPS"}
    assert {name for name, activity in active.items() if activity < 0} == {
        noun.name for noun in here.each(Account)
    }
    assert active["OPS"] == 0


def test_the_activity_of_an_account_is_not_known_without_all_servers():
    noun = next(iter(snapshot(whole("2.15.1"), [("us2", "STATZ_TRAFFIC")]).each(ListedAccount)))
    with pytest.raises(Missing, match="STATZ_TRAFFIC of us2"):
        _ = noun.activity


def test_a_memo_is_made_once_and_remembers_what_is_missing():
    made = []

    def figure(cluster: Cluster) -> int:
        made.append(cluster.name)
        return sum(server.connections for server in cluster.servers)

    here = snapshot(system(cluster(n1=1, n2=2)))
    lacking = snapshot(system(cluster("C2", n1=1)), [("n1", "STATZ")])
    assert [here.clusters["C1"].memo(figure) for _ in range(3)] == [3, 3, 3]
    for _ in range(3):
        with pytest.raises(Missing, match="STATZ of n1"):
            lacking.clusters["C2"].memo(figure)
    assert made == ["C1", "C2"]


def test_the_largest_come_first_by_name_where_they_are_equal():
    assert largest({"b": 2, "a": 2, "c": 3, "d": 1}, few=3) == {
        "top": [["c", 3], ["a", 2], ["b", 2]],
        "left_out": 1,
    }


def test_no_more_than_ten_are_named():
    assert largest({f"n{i:02}": 1 for i in range(12)}) == {
        "top": [[f"n{i:02}", 1] for i in range(10)],
        "left_out": 2,
    }


NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "now", "expected"),
    [(NOON, NOON.replace(minute=1), 60.0), (None, NOON, 0.0), (NOON, None, 0.0)],
)
def test_a_time_that_was_not_told_is_no_time(start, now, expected):
    assert seconds_between(start, now) == expected
