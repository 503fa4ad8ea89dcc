"""AGENT_007: half of the servers or more stopped replying at once."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.agent_isolated import agent_isolated as check
from scenario import Story, cluster, dead, finding, found, hung, left, system

WHOLE = system(cluster(n1=1, n2=1, n3=1, n4=1))
CUT = system(cluster(n1=1, n2=1, n3=dead, n4=dead))
CASES = {
    "quiet when all answer": (WHOLE, set()),
    "quiet when one of three died": (system(cluster(n1=1, n2=1, n3=dead)), set()),
    "quiet when half of them hang": (system(cluster(n1=1, n2=hung)), set()),
    "quiet when half of them said goodbye": (system(cluster(n1=1, n2=left)), set()),
    "fires when half of them fell silent": (CUT, {"me"}),
    "fires when more than half did": (system(cluster(n1=1, n2=dead, n3=dead)), {"me"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_the_finding_has_the_numbers_and_names():
    told = finding(check, CUT)
    assert (told.value, told.threshold, told.evidence) == (
        2,
        2.0,
        {"servers": ["n3", "n4"], "left_out": 0},
    )
    assert told.summary == (
        "2 of 4 servers stopped replying at once: the agent assumes that it is isolated"
    )


def test_of_many_servers_ten_are_named():
    silent = {f"n{number:02}": dead for number in range(12)}
    told = finding(check, system(cluster(a=1, b=1, **silent)))
    assert told.evidence == {"servers": sorted(silent)[:10], "left_out": 2}


def test_who_said_goodbye_is_none_of_those_that_are_known():
    told = finding(check, system(cluster(n1=1, n2=1, n3=dead, n4=dead, n5=left)))
    assert (told.value, told.threshold) == (2, 2.0)


def test_it_opens_at_once_stays_and_resolves_after_the_cut():
    story = Story(checks=[check])
    told = [story.hears(one) for one in (WHOLE, CUT, *[CUT] * 20, WHOLE, WHOLE)]
    assert told == [[], ["opened AGENT_007 me"], *[[]] * 21, ["resolved AGENT_007 me"]]
