"""OPT_SYS_014: a server holds messages back for another cluster."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_sys.gateway_pending_pressure import gateway_pending_pressure as check
from nats_insights.replies.connz import Connection
from nats_insights.replies.gatewayz import Gateway, Gatewayz
from scenario import Server, Story, cluster, finding, found, system

MIB = 1024 * 1024
# Else GATEWAYZ is requested every two minutes.
OFTEN = "gather.every.GATEWAYZ = 0.0"


def holding(outbound: int, inbound: int = 0):
    """A server of C1 with a gateway to A."""
    gatewayz = Gatewayz(
        name="C1",
        outbound_gateways={"A": Gateway(connection=Connection(rtt="9ms", pending_bytes=outbound))},
        inbound_gateways={"A": [Gateway(connection=Connection(pending_bytes=inbound))]},
    )
    return system(cluster(n1=Server(replies={"GATEWAYZ": gatewayz}), n2=1))


CASES = {
    "fires above 8 MiB": (holding(8 * MIB + 1), {"C1 n1 A"}),
    "quiet at 8 MiB": (holding(8 * MIB), set()),
    "quiet where what comes in has interest that waits": (holding(0, 9 * MIB), set()),
    "quiet without a connection": (
        system(cluster(n1=Server(replies={"GATEWAYZ": Gatewayz(name="C1")}))),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    "config", [f"checks.gateway_pending_pressure.max_bytes = {MIB}", 'profile = "insights"']
)
def test_its_limit_can_be_set(config):
    assert found(check, holding(MIB + 1), config) == {"C1 n1 A"}
    assert found(check, holding(MIB), config) == set()


def test_it_says_what_waits():
    said = finding(check, holding(9 * MIB))
    assert said.summary == "n1 holds 9,437,184 bytes that A is to get"
    assert (said.value, said.threshold, said.unit) == (9 * MIB, 8 * MIB, "bytes")
    assert said.evidence == {"rtt": "9ms"}


def test_a_gateway_without_a_connection_holds_nothing():
    n1 = Server(replies={"GATEWAYZ": Gatewayz(name="C1", inbound_gateways={"A": []})})
    story = Story(OFTEN, [check])
    story.hears(system(cluster(n1=n1)))
    outcome = story.audit.outcomes["OPT_SYS_014"]
    assert (outcome.judged, outcome.unknown) == (1, 0)


def test_it_opens_at_the_second_look_and_ends_below_half():
    story = Story(OFTEN, [check])
    told = [story.hears(holding(held * MIB)) for held in (9, 9, 5, 4, 4)]
    assert told == [
        [],
        ["opened OPT_SYS_014 C1 n1 A"],
        ["updated OPT_SYS_014 C1 n1 A"],
        [],
        ["resolved OPT_SYS_014 C1 n1 A"],
    ]
