"""SERVER_908: a server will soon reach its connection limit."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.connection_limit_ahead import connection_limit_ahead as check
from nats_insights.testing import (
    DAY,
    Epochs,
    Server,
    Story,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)

# A look every five minutes.
EVERY = 300.0


def holding(connections: int, up: float = DAY, most: int = 10_000) -> Server:
    return Server(up=up, max_connections=most, varz={"connections": connections})


IDLE = holding(0)


def looks(*held: int, **more: float) -> Epochs:
    """A server that holds so many connections at each look."""
    return then(*(system(cluster(n1=holding(one, **more), n2=IDLE)) for one in held), every=EVERY)


def rising(by: int, looks: int = 13, last: int = 5000) -> list[int]:
    """Connections that rise by so many from look to look."""
    return [last - by * number for number in reversed(range(looks))]


def others(**peers: Server) -> Epochs:
    """The same rise beside other servers."""
    return then(*(system(cluster(n1=holding(one), **peers)) for one in rising(20)), every=EVERY)


STEADY = rising(20)
CASES = {
    "fires where 5,000 are left, and 240 more come in an hour": (looks(*STEADY), {"C1 n1"}),
    "quiet where the limit is more than a day away": (looks(*rising(17)), set()),
    "fires where it is just less": (looks(*rising(18)), {"C1 n1"}),
    "quiet below half of the limit": (looks(*rising(50, last=4999)), set()),
    "quiet until it is an hour": (looks(*rising(20, looks=10)), set()),
    "quiet where all come at once": (looks(*6 * [3000], *7 * [5000]), set()),
    "quiet where they came in half of the hour": (looks(*7 * [4000], *rising(200, 6)), set()),
    "quiet where they no longer rise": (looks(*rising(20), *5 * [5000]), set()),
    "quiet where they fall": (looks(*reversed(STEADY)), set()),
    "quiet where there were as many before": (looks(*2 * [4761], *5 * [4000], *STEADY), set()),
    "fires where there were just fewer": (looks(*2 * [4760], *5 * [4000], *STEADY), {"C1 n1"}),
    "fires though they rise unevenly": (
        looks(*(one + 15 * (number % 2) for number, one in enumerate(rising(30)))),
        {"C1 n1"},
    ),
    "quiet within an hour of its own start": (looks(*STEADY, up=3599.0), set()),
    "fires after it": (looks(*STEADY, up=3600.0), {"C1 n1"}),
    "quiet within an hour of the start of a peer": (others(n2=holding(0, up=3599.0)), set()),
    "quiet while a peer hangs, which may have been restarted": (others(n2=hung), set()),
    "quiet where there is no limit": (looks(*STEADY, most=-1), set()),
    "quiet where nobody is admitted": (looks(*STEADY, most=0), set()),
    "fires on a server without a cluster": (
        then(*(system(lone(n1=holding(one))) for one in STEADY), every=EVERY),
        {"n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    'within = "20h"': set(),
    'within = "21h"': {"C1 n1"},
    "min_percent = 50.1": set(),
    'window = "2h"': set(),
    'window = "30m"': {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    assert found(check, looks(*STEADY), f"[checks.connection_limit_ahead]\n{setting}") == expected


def test_it_says_when():
    said = finding(check, looks(*STEADY[:-1], 5040))
    assert (said.summary, said.value, said.threshold, said.unit, said.servers, said.evidence) == (
        "n1 reaches its limit of 10,000 connections in 20.7 hours "
        "if they rise on as in the last 60 minutes",
        74400.0,
        86400.0,
        "s",
        ("n1",),
        {
            "connections": 5040,
            "gained": 280,
            "per_hour": 240.0,
            "reached_at": "2027-01-16T04:40:00+00:00",
        },
    )


def test_it_opens_and_resolves_where_they_no_longer_rise():
    story = Story("lifecycle.remind_every = '1d'", checks=[check])
    held = [*rising(20, looks=16, last=5200), *12 * [5200]]
    told = []
    for one in held:
        told += [story.hears(system(cluster(n1=holding(one), n2=IDLE)), after=EVERY)]
    opened = told.index(["opened SERVER_908 C1 n1"])
    resolved = told.index(["resolved SERVER_908 C1 n1"])
    assert 13 <= opened < 16 < resolved < len(held)
    assert sum(map(len, told)) == 2


def test_a_morning_like_the_one_before_is_no_finding():
    # The first day tells what is usual: the second one has a few more, and nothing opens.
    story = Story("lifecycle.remind_every = '1d'", checks=[check])
    morning = [5000 + 50 * number for number in range(40)]
    day = [*10 * [5000], *morning, *10 * [6950], *reversed(morning), *30 * [5000]]
    told = [
        story.hears(system(cluster(n1=holding(one), n2=IDLE)), after=EVERY)
        for one in [*day, *(one + one // 30 for one in day)]
    ]
    assert {one for epoch in told[len(day) :] for one in epoch} == set()
