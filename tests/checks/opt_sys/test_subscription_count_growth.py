"""OPT_SYS_022: the same number of clients has more and more subscriptions."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_sys.subscription_count_growth import (
    subscription_count_growth as check,
)
from nats_insights.replies.routez import Link, Routez
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    cluster,
    finding,
    found,
    hung,
    leaf,
    lone,
    system,
    then,
)

QUARTER = 6 * 3600.0


def day(*counts: int, clients: int = 100, in_the_end: int = 100) -> Epochs:
    """Subscriptions of a server, looked at each six hours, and its clients before and after."""
    held = [clients] * (len(counts) - 1) + [in_the_end]
    looks = [Server(n, subscriptions=count) for n, count in zip(held, counts, strict=True)]
    return then(*(system(lone(n1=one)) for one in looks), every=QUARTER)


def routed(count: int) -> Server:
    """A server with so many subscriptions, of which all but 5,000 came from another one."""
    routez = Routez(routes=[Link(subscriptions=count - 5000)])
    return Server(100, subscriptions=count, replies={"ROUTEZ": routez})


def behind_a_leaf(count: int) -> Server:
    """The same of a leaf node."""
    return Server(100, subscriptions=count, leafs=(leaf(subscriptions=count - 5000),))


STEADY = (5000, 5300, 5600, 5900, 6200)
GROWING = {
    "fires at 20 %": (day(5000, 5250, 5500, 5750, 6000), {"n1"}),
    "quiet just below": (day(5000, 5250, 5500, 5750, 5999), set()),
    "fires at a thousand more": (day(4000, 4250, 4500, 4750, 5000), {"n1"}),
    "quiet at 999 more": (day(4000, 4250, 4500, 4750, 4999), set()),
    "fires where each quarter has a twentieth": (day(5000, 5100, 6000, 6500, 7000), {"n1"}),
    "quiet where one quarter has less": (day(5000, 5099, 6000, 6500, 7000), set()),
    "quiet where the server was restarted": (day(5000, 5500, 100, 6000, 7000), set()),
    "quiet where 5 % of the connections came": (day(*STEADY, in_the_end=105), set()),
    "fires where fewer came": (day(*STEADY, in_the_end=104), {"n1"}),
    "quiet where 5 % of the connections left": (day(*STEADY, in_the_end=95), set()),
    "quiet where leaf nodes grow": (
        then(*(system(lone(n1=behind_a_leaf(one))) for one in STEADY), every=QUARTER),
        set(),
    ),
    "quiet where it was not seen for some time": (
        then(
            *(system(lone(n1=Server(100, subscriptions=one))) for one in STEADY[:3]),
            system(lone(n1=hung)),
            *(system(lone(n1=Server(100, subscriptions=one))) for one in STEADY[3:]),
            every=QUARTER,
        ),
        set(),
    ),
}
CASES = {
    "fires for steady growth": (day(*STEADY), {"n1"}),
    "quiet for a deployment": (day(5000, 5000, 5000, 8000, 8000), set()),
    "quiet where they were fewer in the night": (day(5000, 6500, 7000, 6000, 8000), set()),
    "quiet where other servers of the cluster grow": (
        then(*(system(cluster(n1=routed(one), n2=5)) for one in STEADY), every=QUARTER),
        set(),
    ),
    "quiet until it is a day": (day(5000, 6000, 7000, 8000), set()),
}


@pytest.mark.parametrize(("given", "expected"), (CASES | GROWING).values(), ids=CASES | GROWING)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "percent = 24.1": set(),
    "percent = 24": {"n1"},
    "min_growth = 1201": set(),
    "min_growth = 1200": {"n1"},
    'window = "12h"': set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.subscription_count_growth]\n{setting}"
    assert found(check, day(*STEADY), config) == expected


def test_the_profile_insights_looks_at_an_hour():
    looks = [Server(100, subscriptions=one) for one in (100, 106, 112, 118, 124)]
    given = then(*(system(lone(n1=one)) for one in looks), every=900.0)
    assert found(check, given, 'profile = "insights"') == {"n1"}


def test_it_says_how_they_grew():
    said = finding(check, day(*STEADY, in_the_end=101))
    assert (said.summary, said.value, said.threshold, said.unit) == (
        "the local subscriptions of n1 grew steadily by 1,200 to 6,200 in 24 hours, "
        "its connections did not",
        24.0,
        20.0,
        "%",
    )
    assert said.evidence == {
        "quarters": list(STEADY),
        "connections": 101,
        "connections_before": 100,
    }


def test_it_opens_after_a_day_and_resolves_when_they_are_fewer():
    story = Story('lifecycle.remind_every = "30d"', [check])
    counts = [*STEADY, 6500, 5000, 5000]
    told = [
        story.hears(system(lone(n1=Server(100, subscriptions=one))), after=QUARTER)
        for one in counts
    ]
    opened, resolved = (f"{what} OPT_SYS_022 n1" for what in ("opened", "resolved"))
    assert told == [[], [], [], [], [opened], [], [], [resolved]]
