"""CLUSTER_901: a cluster has no room for the clients of a server that it loses."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.no_room_to_lose_a_server import (
    no_room_to_lose_a_server as check,
)
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    left,
    lone,
    system,
)


def holding(connections: int, most: int = 100) -> Server:
    return Server(connections, max_connections=most)


def of(*held: int, most: int = 100) -> System:
    return system(cluster(**{f"n{i}": holding(each, most) for i, each in enumerate(held, 1)}))


CASES = {
    "fires where two of three would be 80 % full": (of(60, 50, 50), {"C1"}),
    "quiet just below": (of(60, 50, 49), set()),
    "fires where all clients are on one server": (of(160, 0, 0, most=100), {"C1"}),
    "fires in a cluster of two": (of(40, 40), {"C1"}),
    "quiet in a cluster of one": (of(99), set()),
    "quiet with the default limits": (of(500, 500, 500, most=65_536), set()),
    "fires where the largest cannot be lost": (
        system(cluster(n1=holding(60, 1000), n2=holding(10), n3=holding(90))),
        {"C1"},
    ),
    "quiet where a small one can be lost": (
        system(cluster(n1=holding(60, 1000), n2=holding(10, 1000), n3=holding(90))),
        set(),
    ),
    "quiet where a server has no limit": (
        system(cluster(n1=holding(99), n2=holding(99), n3=holding(99, -1))),
        set(),
    ),
    "quiet where a server admits nobody": (
        system(cluster(n1=holding(99), n2=holding(99), n3=holding(0, 0))),
        set(),
    ),
    "fires where a server admits one": (
        system(cluster(n1=holding(99), n2=holding(99), n3=holding(0, 1))),
        {"C1"},
    ),
    "quiet about a server without a cluster": (system(lone(n1=holding(99))), set()),
    "quiet while a server hangs, which may hold as many": (
        system(cluster(n1=holding(99), n2=holding(99), n3=hung)),
        set(),
    ),
    "fires where one is lost already": (
        system(cluster(n1=holding(40), n2=holding(40), n3=left)),
        {"C1"},
    ),
    "quiet when the agent's own connection makes it 80 %": (
        system(
            cluster(n1=Server(39, {"$SYS agent": 1}, max_connections=100), n2=holding(40)), own="n1"
        ),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("percent", "expected"), [(80.1, set()), (80.0, {"C1"})])
def test_its_parameters_can_be_set(percent, expected):
    config = f"[checks.no_room_to_lose_a_server]\npercent = {percent}"
    assert found(check, of(60, 50, 50), config) == expected


def test_it_says_which_and_how_far():
    given = system(cluster(n1=holding(90), n2=holding(50, 200), n3=holding(40, 200)))
    said = finding(check, given, "[checks.no_room_to_lose_a_server]\npercent = 50.0")
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "without n2 the other servers of C1 would have 180 of 300 connections (60 %)",
        60.0,
        50.0,
        "%",
        {"lost": "n2", "connections": 180, "max_connections_of_others": 300, "others": 2},
    )


def test_a_restart_is_no_finding_and_it_opens_after_ten_looks_and_resolves():
    story = Story(checks=[check])
    whole, fewer = of(40, 40, 40), system(cluster(n1=holding(60), n2=holding(60), n3=left))
    assert [one for _ in range(9) for one in story.hears(fewer)] == []
    assert story.hears(whole) == []
    tight = [of(60, 50, 50)] * 10
    assert [story.hears(one) for one in tight][-1] == ["opened CLUSTER_901 C1"]
    assert [story.hears(one) for one in (of(51, 50, 50), of(50, 50, 50), of(50, 50, 50))] == [
        [],
        [],
        ["resolved CLUSTER_901 C1"],
    ]
