"""AGENT_010: what the agent publishes does not arrive, or is not stored."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.publication_failing import publication_failing as check
from scenario import Story, cluster, finding, found, system

FULL = "stream INSIGHTS does not store advisories: maximum bytes exceeded"
WELL = system(cluster(n1=1))
AWAY = system(cluster(n1=1), unpublished=FULL)
CASES = {
    "quiet when all arrives": (WELL, set()),
    "fires when something does not": (AWAY, {"me"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_the_finding_says_why():
    assert finding(check, AWAY).summary == f"what the agent publishes is in trouble: {FULL}"


def test_it_opens_with_the_second_epoch_and_resolves_when_it_is_over():
    story = Story(checks=[check])
    told = [story.hears(one) for one in (WELL, AWAY, AWAY, AWAY, WELL, WELL)]
    assert told == [[], [], ["opened AGENT_010 me"], [], [], ["resolved AGENT_010 me"]]
