"""CLUSTER_007: a server is not connected with another cluster that it has a gateway to."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.gateway_disconnection import gateway_disconnection as check
from nats_insights.checks.cluster.gateway_mismatch import gateway_mismatch
from nats_insights.checks.server.server_not_answering import server_not_answering
from nats_insights.replies.connz import Connection
from nats_insights.replies.gatewayz import Gateway, Gatewayz
from nats_insights.replies.varz import GatewayOptions, RemoteGateway
from scenario import Server, Story, cluster, dead, finding, found, hung, left, system

LINK = Gateway(connection=Connection())
# Else GATEWAYZ is requested every two minutes.
OFTEN = "gather.every.GATEWAYZ = 0.0"


def server(*outbound: str, configured=("A",), inbound=(), name="C1", **more):
    """A server of C1 that has outbound connections to these clusters."""
    gateways = tuple(RemoteGateway(name=one) for one in ("C1", *configured))
    gatewayz = Gatewayz(
        name=name,
        outbound_gateways=dict.fromkeys(outbound, LINK),
        inbound_gateways={one: [LINK] for one in inbound},
    )
    options = GatewayOptions(name="C1", gateways=gateways)
    return Server(varz={"gateway": options}, replies={"GATEWAYZ": gatewayz}, **more)


UP, DOWN = server("A"), server()
OTHER = cluster("A", a1=1, a2=1)


def given(other=OTHER, **servers):
    return system(cluster(**servers), other)


CASES = {
    "quiet where all are connected": (given(n1=UP, n2=UP), set()),
    "fires for each server that is not": (given(n1=UP, n2=DOWN, n3=DOWN), {"C1 n2 A", "C1 n3 A"}),
    "fires in a cluster of one": (given(n1=DOWN), {"C1 n1 A"}),
    "fires though the other cluster is still connected to it": (
        given(n1=server(inbound=["A"])),
        {"C1 n1 A"},
    ),
    "quiet about a cluster that was never seen": (system(cluster(n1=DOWN)), set()),
    "quiet about a cluster that was shut down": (
        given(cluster("A", a1=left, a2=left), n1=DOWN),
        set(),
    ),
    "fires where one server of it was shut down and another one answers": (
        given(cluster("A", a1=left, a2=1), n1=DOWN),
        {"C1 n1 A"},
    ),
    "quiet where it is not configured, which is CLUSTER_008": (
        given(n1=server(configured=(), inbound=["A"])),
        set(),
    ),
    "quiet where gateways do not run, which is CLUSTER_008": (
        given(n1=server(name="")),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_what_is_known_of_the_other_cluster():
    said = finding(check, given(cluster("A", a1=1, a2=hung, a3=1), n1=server(inbound=["A"])))
    assert said.summary == "n1 has no connection to A, which it has a gateway to"
    assert said.evidence == {
        "remote_servers": 3,
        "remote_servers_answering": 2,
        "inbound_connections": 1,
    }


LOST, BACK = given(n1=UP, n2=UP, n3=DOWN), given(n1=UP, n2=UP, n3=UP)


def test_it_opens_at_the_second_look_stays_and_ends_with_the_connection():
    story = Story(OFTEN, [check])
    assert [story.hears(one) for one in (BACK, LOST, LOST, LOST, BACK, BACK)] == [
        [],
        [],
        ["opened CLUSTER_007 C1 n3 A"],
        [],
        [],
        ["resolved CLUSTER_007 C1 n3 A"],
    ]


def test_a_lost_reply_is_neither_a_disconnection_nor_its_end():
    story = Story(OFTEN, [check])
    lost = [("n3", "GATEWAYZ")]
    assert [story.hears(BACK, lost) for _ in range(3)] == [[], [], []]
    story.hears(LOST)
    story.hears(LOST)
    assert [story.hears(BACK, lost) for _ in range(3)] == [[], [], []]


def test_it_waits_while_a_server_joins():
    story = Story(OFTEN, [check], settle=120)
    young = given(n1=UP, n2=UP, n3=server(up=30))
    assert [story.hears(young) for _ in range(3)] == [[], [], []]


def test_it_explains_that_the_server_differs_from_its_peers():
    story = Story(OFTEN, [check, gateway_mismatch])
    assert [story.hears(LOST) for _ in range(3)] == [[], ["opened CLUSTER_007 C1 n3 A"], []]


@pytest.mark.parametrize("state", [dead, hung])
def test_a_cluster_that_does_not_answer_explains_it(state):
    story = Story(OFTEN, [check, gateway_mismatch, server_not_answering])
    gone = given(cluster("A", a1=state), n1=DOWN, n2=UP, n3=UP)
    assert [story.hears(gone) for _ in range(3)] == [[], ["opened SERVER_901 A a1"], []]
