"""SERVER_011: a server nears its connection limit."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.connection_count_high import connection_count_high as check
from nats_insights.judge.declare import CRITICAL, WARNING
from scenario import Server, Story, System, cluster, dead, finding, found, hung, lone, system


def filled(connections: int, most: int = 100) -> System:
    """A server of two that has so many of its `max_connections`."""
    return system(cluster(n1=Server(connections, max_connections=most), n2=0))


CASES = {
    "fires at 80 %": (filled(80), {"C1 n1"}),
    "quiet at 79 %": (filled(79), set()),
    "fires at 100 %": (filled(100), {"C1 n1"}),
    "fires at one of one": (filled(1, most=1), {"C1 n1"}),
    "fires on a server without a cluster": (
        system(lone(n1=Server(80, max_connections=100))),
        {"n1"},
    ),
    "quiet where the limit is 0": (filled(80, most=0), set()),
    "quiet where the limit is -1": (filled(80, most=-1), set()),
    "quiet when the agent's own connection makes it 80 %": (
        system(cluster(n1=Server(79, {"$SYS agent": 1}, max_connections=100), n2=0), own="n1"),
        set(),
    ),
    "fires when the agent is on another server": (
        system(cluster(n1=Server(79, {"$SYS agent": 1}, max_connections=100), n2=0), own="n2"),
        {"C1 n1"},
    ),
    "fires though a peer hangs": (
        system(cluster(n1=Server(80, max_connections=100), n2=hung)),
        {"C1 n1"},
    ),
    "fires though a peer died": (
        system(cluster(n1=Server(80, max_connections=100), n2=0, n3=dead)),
        {"C1 n1"},
    ),
    "fires while the cluster settles": (
        system(cluster(n1=Server(80, max_connections=100, up=1.0), n2=0)),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


BANDS = {80: (WARNING, 80.0), 94: (WARNING, 80.0), 95: (CRITICAL, 95.0), 100: (CRITICAL, 95.0)}


@pytest.mark.parametrize(("connections", "expected"), BANDS.items(), ids=BANDS)
def test_it_is_critical_from_95_percent_on(connections, expected):
    said = finding(check, filled(connections))
    assert (said.severity, said.threshold) == expected


SETTINGS = {
    "warning_percent = 80.1": set(),
    "warning_percent = 80.0": {"C1 n1"},
    "critical_percent = 50.0\nwarning_percent = 50.0": {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    assert found(check, filled(80), f"[checks.connection_count_high]\n{setting}") == expected


def test_it_says_how_full():
    said = finding(check, filled(1601, most=1999))
    assert (said.summary, said.value, said.unit, said.evidence) == (
        "n1 has 1,601 of 1,999 connections (80 %)",
        80.1,
        "%",
        {"connections": 1601, "max_connections": 1999},
    )


# Shares of a limit of 1,000, epoch by epoch, and what each tells.
LIVES = {
    "opens at 80 %": ([799, 800], ["", "opened"]),
    "held above 75.2 %": ([800, 753, 753], ["opened", "", ""]),
    "resolved below 75.2 %": ([800, 751, 751], ["opened", "", "resolved"]),
    "a dip of one epoch is no end": ([800, 751, 753, 751], ["opened", "", "", ""]),
    "critical at 95 %": ([949, 950], ["opened", "resolved opened"]),
    "held critical above 92.15 %": ([950, 922, 922], ["opened", "", ""]),
    "a warning again below 92.15 %": ([950, 921], ["opened", "resolved opened"]),
    "from critical to clear": ([950, 751, 751], ["opened", "", "resolved"]),
}


@pytest.mark.parametrize(("shares", "expected"), LIVES.values(), ids=LIVES)
def test_its_limits_ease_once_it_is_open(shares, expected):
    story = Story(checks=[check])
    told = [story.hears(filled(share, most=1000)) for share in shares]
    assert [" ".join(one.split()[0] for one in epoch) for epoch in told] == expected
