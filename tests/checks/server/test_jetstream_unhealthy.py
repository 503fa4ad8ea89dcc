"""SERVER_014: a server says that its JetStream as a whole is not healthy."""

from __future__ import annotations

import pytest

from nats_insights.checks.meta.meta_quorum_lost import meta_quorum_lost
from nats_insights.checks.server.jetstream_unhealthy import jetstream_unhealthy as check
from nats_insights.replies.healthz import HealthError, Healthz
from nats_insights.testing import (
    Server,
    Story,
    cluster,
    dead,
    finding,
    found,
    hung,
    lone,
    system,
)

OFF = HealthError(type="JETSTREAM", error="JetStream not enabled")
NO_LEADER = HealthError(
    type="JETSTREAM", error="JetStream has not established contact with a meta leader"
)
CLOSED = HealthError(type="CONNECTION", error="failed to be ready")
STREAM = HealthError(type="STREAM", account="APP", stream="ORDERS", error="is not current")


def sick(*errors, **more):
    reply = Healthz(status="error", status_code=503, errors=list(errors))
    return Server(1, **{"replies": {"HEALTHZ": reply}, **more})


CASES = {
    "fires where it was switched off": (system(cluster(n1=sick(OFF), n2=1)), {"C1 n1"}),
    "fires about a lone server": (system(lone(n1=sick(OFF))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=sick(NO_LEADER), n2=hung)), {"C1 n1"}),
    "quiet about a healthy server": (system(lone(n1=1)), set()),
    "quiet about streams that are not healthy": (system(lone(n1=sick(STREAM))), set()),
    "quiet where no connections are accepted yet": (system(lone(n1=sick(CLOSED))), set()),
    "quiet about what a server says without a reason": (system(lone(n1=sick())), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_what_the_server_says():
    told = finding(check, system(lone(n1=sick(OFF))))
    assert told.summary == "n1 says that its JetStream is not healthy: JetStream not enabled"


def test_it_opens_at_the_third_look_and_is_unknown_while_the_server_looks_no_further():
    story = Story(checks=[check])
    ill, hidden, well = (system(lone(n1=sick(one))) for one in (OFF, CLOSED, STREAM))
    told = [story.hears(one, after=60) for one in (ill, ill, ill, hidden, hidden, well, well)]
    assert told == [[], [], ["opened SERVER_014 n1"], [], [], [], ["resolved SERVER_014 n1"]]
    story.hears(hidden, after=60)
    assert story.audit.outcomes[check.code].why == "the health of JetStream of n1"


def test_a_meta_group_without_a_leader_is_one_finding():
    story = Story(checks=[check])
    given = system(cluster(**{f"n{number}": sick(NO_LEADER) for number in range(5)}))
    assert [story.hears(given, after=60) for _ in range(3)][2] == ["opened SERVER_014 system"]


def test_it_waits_where_the_meta_group_has_lost_its_quorum():
    story = Story(checks=[check, meta_quorum_lost])
    meta = {"jetstream": {"config": {}, "meta": {"cluster_size": 3}}}
    rest = cluster("REST", **{f"r{n}": 1 for n in range(6)})
    given = system(cluster(n1=sick(NO_LEADER, varz=meta), n2=dead, n3=dead), rest)
    assert [line for _ in range(9) for line in story.hears(given)] == ["opened META_006 C1"]
