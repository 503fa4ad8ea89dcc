"""OPT_SYS_012: subscriptions come and go all the time."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_sys.subscription_churn import subscription_churn as check
from nats_insights.replies.subsz import Subsz
from nats_insights.testing import (
    DAY,
    Epochs,
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)

MINUTES = 5 * 60

EACH_MINUTE = "gather.every.SUBSZ = 60"


def counting(made: int, ended: int, up: float = DAY) -> Server:
    """A server on which so many subscriptions were made and ended since its start."""
    subsz = Subsz(num_subscriptions=200, num_inserts=made, num_removes=ended)
    return Server(5, up=up, replies={"SUBSZ": subsz})


def at(made: int, ended: int, up: float = DAY) -> System:
    return system(cluster(n1=counting(made, ended, up), n2=5))


def counts(*counted: tuple[int, int], every: float = MINUTES) -> Epochs:
    return then(*(at(*one) for one in counted), every=every)


CASES = {
    "fires at 2,000 per second": (counts((900, 700), (300_900, 300_700)), {"C1 n1"}),
    "quiet just below": (counts((900, 700), (300_900, 300_699)), set()),
    "fires where they only come": (counts((0, 0), (600_000, 0)), {"C1 n1"}),
    "quiet where it has ended": (counts((0, 0), (9**7, 9**7), (9**7, 9**7)), set()),
    "quiet for the catalogue's 10,000 of one minute": (
        counts((0, 0), (5001, 5001), every=60),
        set(),
    ),
    "quiet in the first epoch": (at(9**7, 9**7), set()),
    "quiet until the window is whole": (counts((0, 0), (9**7, 9**7), every=240), set()),
    "quiet on a server that has just started": (
        then(at(100, 0), at(9**7, 9**7, up=MINUTES - 1), every=MINUTES),
        set(),
    ),
    "fires on one that started before the window did": (
        then(at(100, 0), at(9**7, 9**7, up=MINUTES + 1), every=MINUTES),
        {"C1 n1"},
    ),
    "quiet where an account was unloaded with its counts": (
        counts((9**8, 9**8), (9**7, 9**7)),
        set(),
    ),
    "fires on a server without a cluster": (
        then(system(lone(n1=counting(0, 0))), system(lone(n1=counting(9**7, 0))), every=MINUTES),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(at(0, 0), system(cluster(n1=counting(9**7, 0), n2=hung)), every=MINUTES),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_a_server_that_started_as_the_window_did_is_judged():
    assert found(check, then(at(100, 0), at(9**7, 0, up=MINUTES), every=MINUTES)) == {"C1 n1"}


SETTINGS = {
    "per_second = 2000.1": set(),
    'window = "10m"': set(),
    'window = "1m"\nper_second = 2000': {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = counts((0, 0), (300_000, 300_000))
    assert found(check, given, f"[checks.subscription_churn]\n{setting}") == expected


def test_the_profile_insights_has_the_limit_of_the_catalogue():
    given = counts((0, 0), (25_050, 25_050))
    assert found(check, given, 'profile = "insights"') == {"C1 n1"}


def test_it_says_how_many():
    said = finding(check, counts((0, 0), (600_300, 600_000)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "4,001 subscriptions per second came and went on n1 in the last 300 s",
        4001.0,
        2000.0,
        "/s",
        {"subscriptions": 200, "inserts": 600_300, "removes": 600_000, "seconds": 300.0},
    )


def test_it_opens_at_the_sixth_look_and_resolves_when_it_is_less():
    story = Story(EACH_MINUTE, [check])
    made = [*(number * 150_000 for number in range(12)), *4 * [12 * 150_000]]
    told = [story.hears(at(one, 0), after=60.0) for one in made]
    # The window is whole at the sixth look, which is the first that can be judged.
    assert [number for number, said in enumerate(told) if said] == [10, 15]
    assert told[10] + told[15] == ["opened OPT_SYS_012 C1 n1", "resolved OPT_SYS_012 C1 n1"]


def test_one_burst_does_not_open_it_however_large():
    story = Story(EACH_MINUTE, [check])
    made = [*6 * [0], *12 * [10_000_000]]
    assert not any(story.hears(at(one, 0), after=60.0) for one in made)


def test_what_a_peer_that_restarts_makes_of_it_is_waited_for():
    story = Story("checks.subscription_churn.open_after = 1", [check], settle=120.0)
    for made, up in ((0, DAY), (9**7, 100.0)):
        told = system(cluster(n1=counting(made, 0), n2=Server(5, up=up)))
        assert story.hears(told, after=MINUTES) == []
    assert story.audit.outcomes[check.code].why == "settling"


def test_the_same_interest_on_all_servers_is_one_finding():
    names = [f"n{number}" for number in range(5)]
    story = Story("checks.subscription_churn.open_after = 1", [check])
    for made in (0, 9**7):
        told = story.hears(
            system(cluster(**dict.fromkeys(names, counting(made, 0)))), after=MINUTES
        )
    assert told == ["opened OPT_SYS_012 system"]
