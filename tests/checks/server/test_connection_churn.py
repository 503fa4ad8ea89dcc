"""SERVER_903: clients connect to a server and disconnect all the time."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.connection_churn import connection_churn as check
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


def counts(*counted: tuple[int, int], up: float = DAY, every: float = 60.0) -> Epochs:
    """A server that has accepted so many connections, and holds so many, in each epoch."""
    first = up - every * (len(counted) - 1)
    servers = [
        Server(held, accepted=accepted, up=first + every * number)
        for number, (accepted, held) in enumerate(counted)
    ]
    return then(*(system(cluster(n1=one, n2=5)) for one in servers), every=every)


CASES = {
    "fires at ten connections that end per second": (counts((100, 9), (700, 9)), {"C1 n1"}),
    "quiet at just fewer": (counts((100, 9), (699, 9)), set()),
    "quiet where a storm has ended": (counts((0, 0), (0, 0), (900, 0), (900, 0)), set()),
    "quiet where clients come and stay": (counts((100, 100), (900, 900)), set()),
    "fires where some stay and most do not": (counts((100, 100), (900, 300)), {"C1 n1"}),
    "quiet where clients leave slowly": (counts((900, 900), (900, 301)), set()),
    "fires where all leave at once": (counts((900, 900), (900, 300)), {"C1 n1"}),
    "quiet after a restart that ended all connections": (
        then(
            system(cluster(n1=Server(2000, accepted=90_000), n2=5)),
            system(cluster(n1=Server(1900, accepted=2000, up=20), n2=5)),
            every=60.0,
        ),
        set(),
    ),
    "fires where they come and go since a restart": (
        then(
            system(cluster(n1=Server(2000, accepted=90_000), n2=5)),
            system(cluster(n1=Server(400, accepted=1000, up=20), n2=5)),
            every=60.0,
        ),
        {"C1 n1"},
    ),
    "quiet where a late epoch has figures of a restart after its window began": (
        then(
            system(cluster(n1=Server(350, accepted=90_000), n2=5)),
            system(cluster(n1=Server(400, accepted=410, up=35), n2=5)),
            every=30.0,
        ),
        set(),
    ),
    "quiet in the first epoch": (system(cluster(n1=Server(0, accepted=90_000), n2=5)), set()),
    "fires on a server without a cluster": (
        then(system(lone(n1=0)), system(lone(n1=Server(0, accepted=300)))),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(
            system(cluster(n1=Server(0, accepted=1), n2=5)),
            system(cluster(n1=Server(0, accepted=301), n2=hung)),
        ),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "per_second = 20.1": set(),
    "per_second = 20.0": {"C1 n1"},
    'window = "2m"': {"C1 n1"},
    'window = "2m"\nper_second = 10.1': set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = counts((0, 0), (0, 0), (1200, 0), every=60.0)
    assert found(check, given, f"[checks.connection_churn]\n{setting}") == expected


def test_it_says_how_many():
    said = finding(check, counts((100, 9), (1000, 19), every=30.0))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "29.7 connections to n1 ended per second in the last 30 s",
        29.7,
        10.0,
        "/s",
        {"ended": 890, "seconds": 30.0, "accepted": 1000, "connections": 19},
    )


def test_it_opens_and_resolves():
    story = Story(checks=[check])
    totals = (0, 300, 600, 900, 900, 1200, 1500, 1800, 2100, 2400, 2700, 2700, 2700)
    servers = [Server(0, accepted=total) for total in totals]
    assert [story.hears(system(cluster(n1=one, n2=5))) for one in servers] == [
        *9 * [[]],
        ["opened SERVER_903 C1 n1"],
        [],
        [],
        ["resolved SERVER_903 C1 n1"],
    ]
