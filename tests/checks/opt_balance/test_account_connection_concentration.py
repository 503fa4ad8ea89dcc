"""OPT_BALANCE_006: most of an account's connections in a cluster sit on one server."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_balance.account_connection_concentration import (
    account_connection_concentration as check,
)
from scenario import Server, Story, cluster, finding, found, hung, lone, system

CASES = {
    "fires at eight of ten": (system(cluster(n1=8, n2=1, n3=1)), {"APP C1"}),
    "quiet at seven of ten": (system(cluster(n1=7, n2=2, n3=1)), set()),
    "fires at ten of ten": (system(cluster(n1=10, n2=0, n3=0)), {"APP C1"}),
    "quiet at nine of nine": (system(cluster(n1=9, n2=0, n3=0)), set()),
    "quiet in a cluster of two": (system(cluster(n1=10, n2=0)), set()),
    "quiet on a server without a cluster": (system(lone(n1=100), lone(n2=0), lone(n3=0)), set()),
    "fires for the account that is concentrated": (
        system(
            cluster(
                n1=Server(users={"A a": 8, "B b": 4}),
                n2=Server(users={"A a": 1, "B b": 4}),
                n3=Server(users={"A a": 1, "B b": 4}),
            )
        ),
        {"A C1"},
    ),
    "fires for all users of the account together": (
        system(cluster(n1=Server(users={"A a": 4, "A b": 4}), n2=Server(users={"A c": 2}), n3=0)),
        {"A C1"},
    ),
    "fires in one of two clusters": (
        system(cluster("EU", n1=8, n2=1, n3=1), cluster("US", n1=50, n2=50, n3=50)),
        {"APP EU"},
    ),
    "quiet where only the clusters differ": (
        system(cluster("EU", n1=90, n2=90, n3=90), cluster("US", n1=3, n2=3, n3=4)),
        set(),
    ),
    "quiet about the system account": (
        system(cluster(n1=Server(users={"$SYS admin": 10}), n2=0, n3=0)),
        set(),
    ),
    "quiet while a peer hangs": (system(cluster(n1=10, n2=hung, n3=0)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "percent = 80.0": set(),
    "percent = 79.9": {"APP C1"},
    "min_connections = 11": set(),
    "min_servers = 4": set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = system(cluster(n1=8, n2=1, n3=1))
    assert found(check, given, f"[checks.account_connection_concentration]\n{setting}") == expected


def test_it_says_where_they_are():
    said = finding(check, system(cluster(n1=10, n2=2, n3=1)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 holds 10 of the 13 connections of account APP in C1",
        76.9,
        70.0,
        "%",
        {
            "server": "n1",
            "by_server": {"top": [["n1", 10], ["n2", 2], ["n3", 1]], "left_out": 0},
        },
    )


def test_it_stays_open_down_to_its_eased_limit():
    heard = [
        system(cluster(n1=n1, n2=100 - n1, n3=0)) for n1 in (80, 80, 66, 65, 65)
    ]  # Eased: 65.1 %.
    story = Story(checks=[check])
    assert [story.hears(one) for one in heard] == [
        [],
        ["opened OPT_BALANCE_006 APP C1"],
        ["updated OPT_BALANCE_006 APP C1"],
        [],
        ["resolved OPT_BALANCE_006 APP C1"],
    ]


def test_an_account_that_moved_away_is_gone():
    here, away = system(cluster(n1=10, n2=0, n3=0)), system(cluster(n1=0, n2=0, n3=0))
    story = Story(checks=[check])
    told = [story.hears(one) for one in (here, here, away, away)]
    assert (told[-1], story.told[0].reason) == (
        ["resolved OPT_BALANCE_006 APP C1"],
        "entity_gone",
    )
