"""CLUSTER_005: a server lacks routes to other servers of its cluster."""

from __future__ import annotations

import json

import pytest

from nats_insights.checks.cluster.cluster_split import cluster_split
from nats_insights.checks.cluster.route_count_low import route_count_low as check
from nats_insights.replies.routez import Link, Routez
from scenario import (
    Server,
    Story,
    cluster,
    dead,
    found,
    hung,
    left,
    lone,
    routes_to,
    system,
)


def to(*peers: str, **more):
    return Server(replies=routes_to(*peers), **more)


WHOLE = system(cluster(n1=to("n2", "n3"), n2=to("n1", "n3"), n3=to("n1", "n2")))
GAP = system(cluster(n1=to("n2"), n2=to("n1", "n3"), n3=to("n2")))
# Four connections to n2, as servers have from 2.10 on.
POOLED = Routez(routes=[Link(remote_id="id of C1 n2", remote_name="n2")] * 4)

CASES = {
    "quiet where each has a route to each": (WHOLE, set()),
    "fires for both servers without a route to each other": (GAP, {"C1 n1", "C1 n3"}),
    "fires where pooled connections are as many as the servers": (
        system(cluster(n1=Server(replies={"ROUTEZ": POOLED}), n2=to("n1", "n3"), n3=to("n2"))),
        {"C1 n1", "C1 n3"},
    ),
    "fires in a cluster of two": (system(cluster(n1=to(), n2=to())), {"C1 n1", "C1 n2"}),
    "quiet where one of the two has the route, which is CLUSTER_902": (
        system(cluster(n1=to("n2"), n2=to())),
        set(),
    ),
    "quiet about a server that hangs": (system(cluster(n1=to("n2"), n2=to("n1"), n3=hung)), set()),
    "quiet about a server that died": (system(cluster(n1=to("n2"), n2=to("n1"), n3=dead)), set()),
    "quiet about a server that left": (system(cluster(n1=to("n2"), n2=to("n1"), n3=left)), set()),
    "quiet about servers without a cluster": (system(lone(n1=to()), lone(n2=to())), set()),
    "quiet between clusters": (system(cluster("A", n1=to()), cluster("B", n2=to())), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_which_servers():
    names = [f"m{number:02}" for number in range(12)]
    # Only n0 lacks a route that none of the others has either.
    others = {name: to("n1", *names, *(["n0"] if name == "m00" else [])) for name in names}
    given = system(cluster(n0=to("n1"), n1=to("n0", *names), **others))
    story = Story(checks=[check])
    story.hears(given)
    (n0,) = [one.finding for key, one in story.audit.found.items() if key.names[-1] == "n0"]
    assert n0.summary == "n0 has routes to 2 of 13 other servers of C1, and none to m01, m02, m03"
    assert (n0.value, n0.threshold, n0.unit) == (2, 13, "servers")


def test_it_names_ten_of_them():
    names = [f"n{number:02}" for number in range(12)]
    everybody = {name: to(*names[1:]) for name in names[1:]}
    story = Story(checks=[check])
    story.hears(system(cluster(**{names[0]: to()}, **everybody)))
    evidence = json.loads(bytes(story.audit.found["CLUSTER_005", ("C1", "n00")].evidence))
    assert evidence == {"without_route": names[1:11], "left_out": 1}


def test_it_opens_at_the_second_look_and_ends_with_the_route():
    story = Story(checks=[check])
    assert [story.hears(one) for one in (GAP, GAP, WHOLE, WHOLE)] == [
        [],
        ["opened CLUSTER_005 C1 n1", "opened CLUSTER_005 C1 n3"],
        [],
        ["resolved CLUSTER_005 C1 n1", "resolved CLUSTER_005 C1 n3"],
    ]


def test_a_silent_server_ends_nothing_until_it_is_dead():
    story = Story(checks=[check])
    story.hears(GAP)
    story.hears(GAP)
    silent = system(cluster(n1=to("n2"), n2=to("n1", "n3"), n3=hung))
    assert [story.hears(silent) for _ in range(3)] == [[], [], []]


def test_it_waits_while_a_server_joins():
    young = system(cluster(n1=to("n2"), n2=to("n1", "n3"), n3=to("n2", up=30)))
    story = Story(checks=[check], settle=120)
    assert [story.hears(young) for _ in range(3)] == [[], [], []]
    assert story.audit.outcomes["CLUSTER_005"].excused


def test_a_split_explains_it():
    apart = system(cluster(n1=to("n2"), n2=to("n1"), n3=to()))
    story = Story(checks=[check, cluster_split])
    assert [story.hears(apart) for _ in range(3)] == [[], ["opened CLUSTER_903 C1"], []]
