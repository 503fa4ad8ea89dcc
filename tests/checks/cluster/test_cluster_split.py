"""CLUSTER_903: servers of one cluster form parts without routes between them."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.cluster_split import cluster_split as check
from nats_insights.checks.cluster.cluster_split import parts
from scenario import Server, Story, cluster, dead, finding, found, hung, lone, routes_to, system


def to(*peers: str, **more):
    return Server(replies=routes_to(*peers), **more)


WHOLE = system(cluster(n1=to("n2", "n3"), n2=to("n1", "n3"), n3=to("n1", "n2")))
SPLIT = system(cluster(n1=to("n2"), n2=to("n1"), n3=to()))

CASES = {
    "quiet where each has a route to each": (WHOLE, set()),
    "fires where one has no route": (SPLIT, {"C1"}),
    "fires where two and two have none between them": (
        system(cluster(a=to("b"), b=to("a"), c=to("d"), d=to("c"))),
        {"C1"},
    ),
    "fires in a cluster of two": (system(cluster(n1=to(), n2=to())), {"C1"}),
    "quiet where one server joins the two others, which is CLUSTER_005": (
        system(cluster(n1=to("n2"), n2=to("n1", "n3"), n3=to("n2"))),
        set(),
    ),
    "fires though a server that hangs is joined with one part": (
        system(cluster(n1=to("n2"), n2=hung, n3=to())),
        {"C1"},
    ),
    "quiet where a server that hangs joins them": (
        system(cluster(n1=to("n2"), n2=hung, n3=to("n2"))),
        set(),
    ),
    "quiet where a route of one direction joins them": (
        system(cluster(n1=to("n2"), n2=to())),
        set(),
    ),
    "quiet about a part that does not answer": (
        system(cluster(n1=to("n2"), n2=to("n1"), n3=dead)),
        set(),
    ),
    "quiet in a cluster of one, and without a cluster": (
        system(cluster(n1=to()), lone(n2=to(), n3=to())),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_which_parts_the_largest_first():
    names = [f"m{number:02}" for number in range(12)]
    many = {name: to(*names) for name in names}
    said = finding(check, system(cluster(a=to("b"), b=to("a"), c=to(), **many)))
    assert said.summary == "C1 is split: no route joins m00, m01, m02 and 9 more with a, b"
    assert (said.value, said.threshold, said.unit) == (3, 2, "parts")
    assert said.evidence == {"parts": [names[:10], ["a", "b"], ["c"]], "servers": [12, 2, 1]}


def test_it_opens_at_the_second_look_and_ends_with_a_route():
    story = Story(checks=[check])
    assert [story.hears(one) for one in (SPLIT, SPLIT, WHOLE, WHOLE)] == [
        [],
        ["opened CLUSTER_903 C1"],
        [],
        ["resolved CLUSTER_903 C1"],
    ]


def test_a_part_that_falls_silent_ends_nothing():
    story = Story(checks=[check])
    silent = system(cluster(n1=to("n2"), n2=to("n1"), n3=hung))
    told = [story.hears(one) for one in (SPLIT, SPLIT, silent, silent, silent)]
    assert told[2:] == [[], [], []]


def test_it_waits_while_a_server_joins():
    young = system(cluster(n1=to("n2"), n2=to("n1"), n3=to(up=30)))
    story = Story(checks=[check], settle=120)
    assert [story.hears(young) for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize(
    ("routed", "expected"),
    [
        ({}, []),
        ({"a": {"b"}, "b": {"a"}}, [{"a", "b"}]),
        ({"a": {"x"}, "b": {"y"}, "c": {"x", "y"}}, [{"a", "b", "c", "x", "y"}]),
        ({"a": set(), "b": set(), "c": {"a"}}, [{"b"}, {"a", "c"}]),
    ],
)
def test_parts_are_joined_by_any_route(routed, expected):
    assert parts(routed) == expected
