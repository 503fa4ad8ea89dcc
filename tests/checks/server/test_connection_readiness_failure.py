"""SERVER_001: a server does not listen for connections as it is configured to."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.connection_readiness_failure import (
    connection_readiness_failure as check,
)
from nats_insights.replies.healthz import HealthError, Healthz
from nats_insights.testing import Server, Story, cluster, finding, found, hung, lone, system

CLOSED = HealthError(
    type="CONNECTION", error="failed to be ready for connections after 1ms: server"
)
STREAM = HealthError(type="STREAM", account="APP", stream="ORDERS", error="is not current")


def sick(*errors, **more):
    reply = Healthz(status="error", status_code=500, errors=list(errors))
    return Server(1, replies={"HEALTHZ": reply}, **more)


CASES = {
    "fires where a port is closed": (system(cluster(n1=sick(CLOSED), n2=1)), {"C1 n1"}),
    "fires about a lone server": (system(lone(n1=sick(CLOSED))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=sick(CLOSED), n2=hung)), {"C1 n1"}),
    "quiet about a healthy server": (system(lone(n1=1)), set()),
    "quiet about streams that are not healthy": (system(lone(n1=sick(STREAM))), set()),
    "quiet about what a server says without a reason, unlike the catalogue": (
        system(lone(n1=sick())),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_what_the_server_says():
    told = finding(check, system(lone(n1=sick(CLOSED))))
    assert told.summary == (
        "n1 says that it is not ready for connections: "
        "failed to be ready for connections after 1ms: server"
    )


SICK, WELL = system(lone(n1=sick(CLOSED))), system(lone(n1=1))


def test_it_opens_at_the_third_look_and_ends_when_all_ports_are_open():
    story = Story(checks=[check])
    told = [story.hears(one, after=60) for one in (SICK, SICK, SICK, SICK, WELL, WELL)]
    opened, resolved = ["opened SERVER_001 n1"], ["resolved SERVER_001 n1"]
    assert told == [[], [], opened, [], [], resolved]


def test_it_is_unknown_how_far_a_server_looked_that_gives_no_reason():
    story = Story(checks=[check])
    story.hears(system(lone(n1=sick())))
    assert story.audit.outcomes[check.code].why == "the health of connections of n1"
