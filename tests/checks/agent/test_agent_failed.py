"""AGENT_008: an epoch ended by an error in the program."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.agent_failed import agent_failed as check
from scenario import Story, cluster, finding, found, hung, system

WELL = system(cluster(n1=1))
FAILED = system(cluster(n1=1), failures=["KeyError at a.py:3", "KeyError at b.py:7"])
CASES = {
    "quiet when none did": (WELL, set()),
    "fires when one did": (system(cluster(n1=1), failures=["KeyError at a.py:3"]), {"me"}),
    "fires though a server hangs": (
        system(cluster(n1=1, n2=hung), failures=["KeyError at a.py:3"]),
        {"me"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_the_limit_can_be_set():
    assert found(check, FAILED, "[checks.agent_failed]\nmost = 2") == set()


def test_the_finding_has_the_numbers():
    told = finding(check, FAILED)
    places = [["KeyError at a.py:3", 1], ["KeyError at b.py:7", 1]]
    assert (told.value, told.threshold) == (2, 0)
    assert told.evidence == {"places": {"top": places, "left_out": 0}}
    assert told.summary == "2 of the last 20 epochs failed, last by KeyError at b.py:7"


def test_it_opens_at_once_and_is_not_told_again_for_each_failure():
    story = Story(checks=[check])
    more = system(cluster(n1=1), failures=5 * ["KeyError at a.py:3"])
    told = [story.hears(one) for one in (FAILED, more, WELL, WELL)]
    assert told == [["opened AGENT_008 me"], [], [], ["resolved AGENT_008 me"]]
