"""AGENT_005: the agent's user may do more than read."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.agent_dangerous_permissions import (
    agent_dangerous_permissions as check,
)
from scenario import Story, cluster, finding, found, hung, system

WELL = system(cluster(n1=1), restricted=True)
OPEN = system(cluster(n1=1), restricted=True, dangers=["KICK", "RELOAD"])
ANYBODY = system(cluster(n1=1, n2=hung), restricted=False, dangers=["KICK", "LDM", "RELOAD"])
CASES = {
    "quiet when it may only read": (WELL, set()),
    "quiet when it is not restricted at all": (ANYBODY, set()),
    "fires when its list lets it change something": (OPEN, {"me"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    "config", ["checks.agent_dangerous_permissions.unrestricted = true", 'profile = "insights"']
)
def test_a_user_without_a_list_is_found_on_request(config):
    assert found(check, ANYBODY, config) == {"me"}


def test_the_finding_names_the_requests():
    said = finding(check, OPEN)
    assert (said.value, said.threshold, said.unit) == (2, 0, "requests")
    assert said.summary == (
        "the agent's user may change servers by any of 2 requests: KICK, RELOAD"
    )
    assert said.evidence == {"requests": ["KICK", "RELOAD"]}


def test_it_opens_at_once_and_resolves_when_the_list_is_right():
    story = Story(checks=[check])
    told = [story.hears(one) for one in (OPEN, WELL, WELL)]
    assert told == [["opened AGENT_005 me"], [], ["resolved AGENT_005 me"]]
