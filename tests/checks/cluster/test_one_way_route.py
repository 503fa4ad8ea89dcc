"""CLUSTER_902: only one of two servers has a route to the other."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.one_way_route import one_way_route as check
from scenario import Server, Story, cluster, dead, finding, found, hung, left, routes_to, system


def to(*peers: str, **more):
    return Server(replies=routes_to(*peers), **more)


BOTH = system(cluster(n1=to("n2"), n2=to("n1")))
ONE = system(cluster(n1=to("n2"), n2=to()))

CASES = {
    "quiet where both have it": (BOTH, set()),
    "fires where one has it": (ONE, {"C1 n1"}),
    "fires where the other has a route to an earlier process": (
        system(cluster(n1=to("n2", id="new"), n2=to("n1"))),
        {"C1 n1"},
    ),
    "quiet where none has it, which is CLUSTER_005": (system(cluster(n1=to(), n2=to())), set()),
    "quiet while the other hangs": (system(cluster(n1=to("n2"), n2=hung)), set()),
    "quiet when the other died": (system(cluster(n1=to("n2"), n2=dead)), set()),
    "quiet when the other left": (system(cluster(n1=to("n2"), n2=left)), set()),
    "fires though another one hangs": (
        system(cluster(n1=to("n2"), n2=to(), n3=hung)),
        {"C1 n1"},
    ),
    "quiet about a server that never answered": (system(cluster(n1=to("n2"))), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_who_has_the_route():
    said = finding(check, ONE)
    assert said.summary == "n1 has a route to n2, which has none to n1"
    assert (said.value, said.threshold, said.unit) == (1, 1, "servers")
    assert said.evidence == {"without_route": ["n2"], "left_out": 0}


def test_it_names_ten_of_many():
    names = [f"n{number:02}" for number in range(13)]
    said = finding(check, system(cluster(a=to(*names), **dict.fromkeys(names, to()))))
    assert said.summary == "a has a route to n00, n01, n02, which have none to a"
    assert said.evidence == {"without_route": names[:10], "left_out": 3}


def test_it_opens_at_the_second_look_and_ends_with_the_second_end():
    story = Story(checks=[check])
    assert [story.hears(one) for one in (ONE, ONE, BOTH, BOTH)] == [
        [],
        ["opened CLUSTER_902 C1 n1"],
        [],
        ["resolved CLUSTER_902 C1 n1"],
    ]


def test_it_ends_with_the_first_end_too():
    story = Story(checks=[check])
    none = system(cluster(n1=to(), n2=to()))
    told = [story.hears(one) for one in (ONE, ONE, none, none)]
    assert told[-1] == ["resolved CLUSTER_902 C1 n1"]
    assert story.told[0].life.summary == "n1 has routes only to servers that have one to it"


def test_a_silent_server_ends_nothing():
    story = Story(checks=[check])
    silent = system(cluster(n1=to("n2"), n2=hung))
    told = [story.hears(one) for one in (ONE, ONE, silent, silent, silent)]
    assert told[2:] == [[], [], []]


def test_it_waits_while_a_server_joins():
    story = Story(checks=[check], settle=120)
    young = system(cluster(n1=to("n2"), n2=to(up=30)))
    assert [story.hears(young) for _ in range(3)] == [[], [], []]
