"""AGENT_009: the agent cannot save its state."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.state_not_saved import state_not_saved as check
from scenario import Story, cluster, finding, found, hung, system

WHY = "cannot write the state /var/lib/state: No space left on device"
WELL = system(cluster(n1=1))
CASES = {
    "quiet when it was saved": (WELL, set()),
    "fires when it was not": (system(cluster(n1=1), unsaved=WHY), {"me"}),
    "fires though a server hangs": (system(cluster(n1=1, n2=hung), unsaved=WHY), {"me"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_the_finding_says_why():
    assert finding(check, system(cluster(n1=1), unsaved=WHY)).summary == WHY


def test_it_ends_with_the_first_save_that_succeeds():
    story = Story(checks=[check])
    told = [story.hears(one) for one in (system(cluster(n1=1), unsaved=WHY), WELL)]
    assert told == [["opened AGENT_009 me"], ["resolved AGENT_009 me"]]
    assert story.told[0].life.summary == "the state of the agent is saved again"
