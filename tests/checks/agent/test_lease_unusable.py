"""AGENT_011: the agent leads without the lease that decides who leads."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.lease_unusable import lease_unusable as check
from scenario import Story, cluster, finding, found, system

WHY = "the lease in bucket INSIGHTS_LEASE cannot be had: there is no connection to it now"
WELL = system(cluster(n1=1))
WITHOUT = system(cluster(n1=1), unleased=WHY)
CASES = {
    "quiet when it has the lease": (WELL, set()),
    "fires when it cannot be had": (WITHOUT, {"me"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_the_finding_says_why():
    assert finding(check, WITHOUT).summary == f"heartbeats alone decide who leads: {WHY}"


def test_it_opens_with_the_second_epoch_and_resolves_when_it_is_over():
    story = Story(checks=[check])
    told = [story.hears(one) for one in (WELL, WITHOUT, WITHOUT, WITHOUT, WELL, WELL)]
    assert told == [[], [], ["opened AGENT_011 me"], [], [], ["resolved AGENT_011 me"]]
