"""CLUSTER_008: a server has other gateways than most servers of its cluster."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.gateway_mismatch import gateway_mismatch as check
from nats_insights.checks.server.server_not_answering import server_not_answering
from nats_insights.replies.connz import Connection
from nats_insights.replies.gatewayz import Gateway, Gatewayz
from nats_insights.replies.varz import GatewayOptions, RemoteGateway
from scenario import Server, Story, cluster, dead, finding, found, hung, lone, system

LINK = Gateway(connection=Connection())

# Else GATEWAYZ is requested every two minutes.
OFTEN = "gather.every.GATEWAYZ = 0.0"


def to(*remotes, configured=(), **more):
    """A server with an outbound gateway connection to each of these clusters."""
    options = GatewayOptions(
        name="C1", gateways=tuple(RemoteGateway(name=one) for one in ("C1", *configured))
    )
    gatewayz = Gatewayz(name="C1", outbound_gateways=dict.fromkeys(remotes, LINK))
    return Server(varz={"gateway": options}, replies={"GATEWAYZ": gatewayz}, **more)


WITHOUT = Server(5)

CASES = {
    "fires where one of three servers lacks a gateway": (
        system(cluster(n1=to("A", "B"), n2=to("A", "B"), n3=to("A"))),
        {"C1 n3 B"},
    ),
    "quiet where all have the same": (
        system(cluster(n1=to("A", "B"), n2=to("A", "B"), n3=to("B", "A"))),
        set(),
    ),
    "quiet where no majority knows which is right": (
        system(cluster(n1=to("A"), n2=to("A"), n3=to(), n4=to())),
        set(),
    ),
    "quiet where only one of two servers has a gateway": (
        system(cluster(n1=to("A"), n2=to())),
        set(),
    ),
    "fires where one server has a gateway that the others do not have": (
        system(cluster(n1=to("A", "B"), n2=to("A"), n3=to("A"))),
        {"C1 n1 B"},
    ),
    "fires where one server is connected with another cluster than the others": (
        system(cluster(n1=to("A"), n2=to("A"), n3=to("B"))),
        {"C1 n3 A", "C1 n3 B"},
    ),
    "fires for each server that lacks one that most have, though no two are alike": (
        system(cluster(n1=to("A", "B"), n2=to("A", "C"), n3=to("B", "C"))),
        {"C1 n1 C", "C1 n2 B", "C1 n3 A"},
    ),
    "fires where a server has no gateways at all": (
        system(cluster(n1=to("A"), n2=to("A"), n3=WITHOUT)),
        {"C1 n3 A"},
    ),
    "quiet where a few servers have the gateways for all": (
        system(cluster(n1=to("A"), n2=to("A"), n3=WITHOUT, n4=WITHOUT, n5=WITHOUT)),
        set(),
    ),
    "fires where one of the few has not": (
        system(cluster(n1=to("A"), n2=to("A"), n3=to(), n4=WITHOUT, n5=WITHOUT)),
        {"C1 n3 A"},
    ),
    "quiet where a gateway is configured and nobody is connected": (
        system(cluster(n1=to(configured="A"), n2=to(configured="A"), n3=to())),
        set(),
    ),
    "quiet about a server without a cluster": (system(lone(n1=to("A")), lone(n2=to())), set()),
    "quiet while a peer hangs": (system(cluster(n1=to("A"), n2=to("A"), n3=to(), n4=hung)), set()),
    "fires in the cluster that is concerned": (
        system(cluster("C1", n1=to("A"), n2=to("A"), n3=to()), cluster("C2", m1=to("A"), m2=hung)),
        {"C1 n3 A"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize("configured", [True, False])
def test_it_says_what_is_missing_and_whether_it_is_configured(configured):
    n3 = to("B", configured=["A"] if configured else [])
    said = finding(check, system(cluster(n1=to("A", "B"), n2=to("A", "B"), n3=n3)))
    assert said.summary == "n3 has no gateway to A, which 2 of 3 servers of C1 have"
    assert said.evidence == {
        "configured": configured,
        "servers_connected": 2,
        "servers_compared": 3,
    }


def test_it_says_what_the_others_do_not_have():
    said = finding(check, system(cluster(n1=to("A"), n2=to(), n3=to(), n4=WITHOUT)))
    assert said.summary == "n1 has a gateway to A, which 2 of 3 servers of C1 do not have"


MISSING = cluster(n1=to("A"), n2=to("A"), n3=to())
COMPLETE = cluster(n1=to("A"), n2=to("A"), n3=to("A"))


def test_it_opens_at_the_second_look_and_ends_with_the_connection():
    story = Story(OFTEN, [check])
    told = [story.hears(system(one)) for one in (MISSING, MISSING, COMPLETE, COMPLETE)]
    assert told == [[], ["opened CLUSTER_008 C1 n3 A"], [], ["resolved CLUSTER_008 C1 n3 A"]]
    (resolved,) = story.told
    assert resolved.life.summary == "n3 and most servers of C1 have the same gateways to A"


def test_a_gateway_that_the_last_server_has_lost_is_no_difference():
    story = Story(OFTEN, [check])
    nobody = cluster(n1=to(), n2=to(), n3=to())
    told = [story.hears(system(one)) for one in (MISSING, MISSING, nobody, nobody)]
    assert told[-1] == ["resolved CLUSTER_008 C1 n3 A"]


def test_servers_that_have_just_started_are_waited_for():
    started = cluster(n1=to("A"), n2=to("A"), n3=to(up=10.0))
    story = Story(OFTEN, [check], settle=120.0)
    assert [story.hears(system(started)) for _ in range(3)] == [[], [], []]
    assert story.audit.outcomes[check.code].why == "settling"


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"a1": hung, "a2": hung}, {"SERVER_901 A a1", "SERVER_901 A a2"}),
        ({"a1": hung, "a2": 1}, {"SERVER_901 A a1", "CLUSTER_008 C1 n3 A"}),
        ({"a1": dead}, {"SERVER_901 A a1"}),
    ],
)
def test_it_waits_while_all_of_the_other_cluster_is_silent(others, expected):
    story = Story(OFTEN, [check, server_not_answering])
    story.hears(system(COMPLETE, cluster("A", **dict.fromkeys(others, 1))))
    for _ in range(3):
        story.hears(system(MISSING, cluster("A", **others)))
    is_open = [life for life in story.lives.values() if life.is_open]
    assert {f"{life.key.code} {' '.join(life.key.names)}" for life in is_open} == expected
