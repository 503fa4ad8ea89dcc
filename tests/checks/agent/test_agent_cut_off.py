"""AGENT_001: a server cut the agent off."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.agent_cut_off import agent_cut_off as check
from scenario import Story, cluster, finding, found, hung, system

CASES = {
    "quiet when nobody did": (system(cluster(n1=1)), set()),
    "fires when one did": (system(cluster(n1=1), cut_offs=["n1"]), {"me"}),
    "fires though another server hangs": (
        system(cluster(n1=1, n2=hung), cut_offs=["n1"]),
        {"me"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_the_finding_has_the_numbers():
    told = finding(check, system(cluster(n1=1), cut_offs=["n2", "n1", "n2"], window=4096))
    assert (told.value, told.threshold, told.evidence) == (
        3,
        0,
        {"by_server": {"top": [["n2", 2], ["n1", 1]], "left_out": 0}, "window_bytes": 4096},
    )
    assert told.summary == "the agent was cut off 3 times in its last 20 epochs, last by n2"


def test_it_opens_at_once_and_resolves_when_all_is_well():
    story = Story(checks=[check])
    fine = system(cluster(n1=1))
    told = [story.hears(one) for one in (system(cluster(n1=1), cut_offs=["n1"]), fine, fine)]
    assert told == [["opened AGENT_001 me"], [], ["resolved AGENT_001 me"]]
