"""OPT_PLACE_004: a gateway sends to another cluster what nobody there asked for.

Servers before 2.9 are told of here only: there are none in the versions that are tested.
"""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_place.gateway_interest_mode import gateway_interest_mode as check
from nats_insights.replies.connz import Connection
from nats_insights.replies.gatewayz import Gateway, Gatewayz
from scenario import Server, Story, cluster, finding, found, hung, system

# Else GATEWAYZ is requested every two minutes.
OFTEN = "gather.every.GATEWAYZ = 0.0"


def to(end: str):
    """A server of C1 with an outbound gateway connection to this server of A."""
    link = Gateway(connection=Connection(name=f"id of A {end}"))
    return Server(replies={"GATEWAYZ": Gatewayz(name="C1", outbound_gateways={"A": link})})


def remote(a1: str, a2: str = "2.15.1"):
    return system(cluster(n1=to("a1")), cluster("A", a1=Server(version=a1), a2=Server(version=a2)))


CASES = {
    "fires where the other server is older than 2.9": (remote("2.8.4"), {"C1 n1 A"}),
    "quiet where it is 2.9": (remote("2.9.0"), set()),
    "quiet where it is 2.10": (remote("2.10.26"), set()),
    "quiet where only a server at no end is older": (remote("2.15.1", "2.8.4"), set()),
    "quiet without a connection": (
        system(cluster(n1=Server(replies={"GATEWAYZ": Gatewayz(inbound_gateways={"A": []})}))),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_which_version():
    said = finding(check, remote("2.8.4"))
    assert said.summary == (
        "n1 sends to A without knowing its interest: the server there runs 2.8.4"
    )
    assert said.evidence == {"version": "2.8.4"}


def test_a_server_that_never_replied_may_run_any_version():
    story = Story(OFTEN, [check])
    story.hears(system(cluster(n1=to("a1"))))
    outcome = story.audit.outcomes["OPT_PLACE_004"]
    assert (outcome.unknown, outcome.excused) == (1, True)
    assert outcome.why == "needs a reply of the server"


def test_it_opens_at_the_second_look_and_ends_with_the_upgrade():
    story = Story(OFTEN, [check])
    versions = ("2.8.4", "2.8.4", "2.9.25", "2.9.25")
    assert [story.hears(remote(version)) for version in versions] == [
        [],
        ["opened OPT_PLACE_004 C1 n1 A"],
        [],
        ["resolved OPT_PLACE_004 C1 n1 A"],
    ]


def test_it_stays_while_the_other_server_hangs():
    story = Story(OFTEN, [check])
    story.hears(remote("2.8.4"))
    story.hears(remote("2.8.4"))
    silent = system(cluster(n1=to("a1")), cluster("A", a1=hung, a2=1))
    assert [story.hears(silent) for _ in range(3)] == [[], [], []]
