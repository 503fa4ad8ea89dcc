"""SERVER_904: the clock of a server is wrong."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.clock_offset import clock_offset as check
from nats_insights.errors import Missing
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
)


def clocks(**ahead: float) -> System:
    return system(cluster(**{name: Server(1, clock=one) for name, one in ahead.items()}))


CASES = {
    "fires five seconds ahead": (clocks(n1=0, n2=5), {"C1 n2"}),
    "fires five seconds behind": (clocks(n1=0, n2=-5), {"C1 n2"}),
    "quiet at less": (clocks(n1=0, n2=4.9), set()),
    "quiet at less behind": (clocks(n1=0, n2=-4.9), set()),
    "fires on a server without a cluster": (system(lone(n1=Server(clock=60))), {"n1"}),
    "fires though a peer hangs": (
        system(cluster(n1=Server(clock=60), n2=hung)),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(60, {"C1 n2"}), (60.1, set())])
def test_its_limit_can_be_set(seconds, expected):
    config = f"checks.clock_offset.seconds = {seconds}"
    assert found(check, clocks(n1=0, n2=60), config) == expected


@pytest.mark.parametrize(("seconds", "side"), [(60, "ahead of"), (-60, "behind")])
def test_it_says_how_much(seconds, side):
    said = finding(check, clocks(n1=0, n2=seconds))
    assert said.summary == f"the clock of n2 is 60.0 s {side} that of the agent"
    assert (said.value, said.threshold, said.unit) == (60.0, 5.0, "s")


# What the clock of a server shows where the replies took so long, and what it differs at least.
WAITED = {
    "an answer that came late": (4.0, 4.0, None),
    "ahead of what a late answer explains": (9.1, 4.0, 5.1),
    "behind is behind whenever it was read": (-5.1, 4.0, 5.1),
}


@pytest.mark.parametrize(("shown", "took", "expected"), WAITED.values(), ids=WAITED)
def test_the_time_that_the_replies_took_is_no_offset(shown, took, expected):
    story = Story(checks=[check])
    story.hears(clocks(n1=shown))
    story.snapshot.roll_call_took = took
    (n1,) = story.snapshot.servers.values()
    said = check.judge(n1, check.params())
    assert (said and said.value) == expected
    if said:
        assert said.evidence == {"precision_seconds": took}


def test_it_is_unknown_of_a_server_that_tells_no_time():
    story = Story(checks=[check])
    story.hears(clocks(n1=60))
    (n1,) = story.snapshot.servers.values()
    n1.info = n1.info.__class__(name="n1")
    with pytest.raises(Missing, match="the clock of n1"):
        check.judge(n1, check.params())


def test_the_clock_of_the_agent_is_one_finding():
    story = Story("checks.clock_offset.open_after = 1", [check])
    given = clocks(**{f"n{number}": 60.0 for number in range(5)})
    assert story.hears(given) == ["opened SERVER_904 system"]


def test_it_opens_at_the_third_look_and_resolves_clearly_below():
    story = Story(checks=[check])
    heard = [story.hears(clocks(n1=0, n2=seconds)) for seconds in (9, 9, 9, 4.5, 3.9, 3.9)]
    assert heard == [[], [], ["opened SERVER_904 C1 n2"], [], [], ["resolved SERVER_904 C1 n2"]]
