"""SERVER_018: another cluster is farther away than distance explains."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.high_gateway_rtt import high_gateway_rtt as check
from nats_insights.replies.connz import Connection
from nats_insights.replies.gatewayz import Gateway, Gatewayz
from scenario import Server, Story, cluster, finding, found, system

# Else GATEWAYZ is requested every two minutes.
OFTEN = "gather.every.GATEWAYZ = 0.0"


def far(rtt: str, inbound: str = "1ms"):
    """A server of C1 with a gateway to A."""
    gatewayz = Gatewayz(
        name="C1",
        outbound_gateways={"A": Gateway(connection=Connection(rtt=rtt))},
        inbound_gateways={"A": [Gateway(connection=Connection(rtt=inbound))]},
    )
    return system(cluster(n1=Server(replies={"GATEWAYZ": gatewayz}), n2=1))


CASES = {
    "fires above 500 ms": (far("500.1ms"), {"C1 n1 A"}),
    "quiet at 500 ms": (far("500ms"), set()),
    "quiet between continents": (far("312.204518ms"), set()),
    "fires above a second": (far("1.2s"), {"C1 n1 A"}),
    "quiet where only what comes in is slow, which the other side measures": (
        far("1ms", "2s"),
        set(),
    ),
    "quiet before the first ping": (far("0s"), set()),
    "quiet without a connection": (
        system(cluster(n1=Server(replies={"GATEWAYZ": Gatewayz(name="C1")}))),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize("config", ["checks.high_gateway_rtt.max_rtt = 50", 'profile = "insights"'])
def test_its_limit_can_be_set(config):
    assert found(check, far("50.1ms"), config) == {"C1 n1 A"}
    assert found(check, far("50ms"), config) == set()


def test_it_says_who_and_how_long():
    said = finding(check, far("731ms"))
    assert said.summary == "a round trip from n1 to A takes 731 ms"
    assert (said.value, said.threshold, said.unit) == (731, 500.0, "ms")


def test_it_opens_at_the_third_look_and_ends_when_clearly_below():
    story = Story(OFTEN, [check])
    told = [story.hears(far(rtt)) for rtt in ("1s", "1s", "1s", "450ms", "400ms", "400ms")]
    assert told == [[], [], ["opened SERVER_018 C1 n1 A"], [], [], ["resolved SERVER_018 C1 n1 A"]]
