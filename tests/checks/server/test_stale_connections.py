"""SERVER_012: many connections of a server went silent without being closed."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.stale_connections import stale_connections as check
from nats_insights.testing import (
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


def counting(stale: int, connections: int = 980, **more: object) -> Server:
    """A server that counted so many stale connections, and holds so many others."""
    varz = {"stale_connections": stale, "stale_connection_stats": {"clients": stale}, **more}
    return Server(varz=varz | {"connections": connections})


def at(stale: int, **more: int) -> System:
    return system(cluster(n1=counting(stale, **more), n2=counting(0)))


def counts(*stale: int, every: float = 60.0, **more: int) -> Epochs:
    return then(*(at(count, **more) for count in stale), every=every)


CASES = {
    "fires at two of a hundred": (counts(5, 25), {"C1 n1"}),
    "quiet at fewer": (counts(5, 25, connections=981), set()),
    "quiet at fewer of leaf nodes and clients together": (counts(5, 25, leafnodes=1), set()),
    "fires where most of twenty are stale": (counts(0, 20, connections=1), {"C1 n1"}),
    "quiet where nineteen are": (counts(0, 19, connections=1), set()),
    "quiet about what was counted before": (counts(90, 90), set()),
    "quiet where none was counted": (counts(0, 0), set()),
    "quiet in the first epoch": (at(90), set()),
    "fires for ten minutes": (counts(0, *10 * [20], connections=1), {"C1 n1"}),
    "quiet after that": (counts(0, *11 * [20], connections=1), set()),
    "quiet after a restart": (counts(90, 0), set()),
    "quiet about a server that does not tell": (
        then(*2 * [system(lone(n1=Server(9, version="2.11.11")))]),
        set(),
    ),
    "fires on a server without a cluster": (
        then(system(lone(n1=counting(0))), system(lone(n1=counting(90)))),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(at(0), system(cluster(n1=counting(90), n2=hung))),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "percent = 10.1": set(),
    "percent = 10.0": {"C1 n1"},
    "least = 101": set(),
    "least = 100": {"C1 n1"},
    "window = '60s'": set(),
    "window = '2m'": {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = counts(0, 100, 100, connections=900)
    assert found(check, given, f"[checks.stale_connections]\n{setting}") == expected


def test_the_profile_insights_finds_a_single_one():
    assert found(check, counts(0, 1), 'profile = "insights"') == {"C1 n1"}


def test_it_says_how_many():
    said = finding(check, counts(0, 100, connections=900))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "100 connections of n1 went stale in the last 60 s (10 %)",
        10.0,
        2.0,
        "%",
        {
            "stale": 100,
            "connections": 900,
            "seconds": 60.0,
            "since_start": {"clients": 100, "routes": 0, "gateways": 0, "leafs": 0},
        },
    )


def test_it_is_unknown_of_a_server_that_does_not_tell():
    story = Story(checks=[check])
    story.hears(system(lone(n1=Server(9, version="2.11.11"))))
    outcome = story.audit.outcomes[check.code]
    assert (outcome.why, outcome.excused) == (
        "stale_connections of n1: not told by 2.11.11",
        True,
    )


def test_it_resolves_when_there_are_no_more():
    story = Story("checks.stale_connections.window = '1m'", [check])
    heard = [story.hears(at(n)) for n in (0, 90, 90, 90, 90)]
    assert heard == [[], ["opened SERVER_012 C1 n1"], [], ["resolved SERVER_012 C1 n1"], []]
