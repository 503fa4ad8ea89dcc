"""OPT_BALANCE_002: one server of a cluster holds far more connections than its peers."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_balance.connection_hotspot import connection_hotspot as check
from scenario import Server, Story, cluster, dead, finding, found, hung, lone, system

CASES = {
    "fires at twice the mean": (system(cluster(n1=60, n2=15, n3=15)), {"C1 n1"}),
    "quiet just below twice the mean": (system(cluster(n1=59, n2=16, n3=15)), set()),
    "fires when one of two servers has them all": (system(cluster(n1=30, n2=0)), {"C1 n1"}),
    "fires at ten connections": (system(cluster(n1=10, n2=0)), {"C1 n1"}),
    "quiet at nine": (system(cluster(n1=9, n2=0)), set()),
    "fires for two hot servers of four": (
        system(cluster(n1=50, n2=50, n3=0, n4=0)),
        {"C1 n1", "C1 n2"},
    ),
    "quiet about a server without a cluster": (system(lone(n1=1000), lone(n2=0)), set()),
    "quiet about the only server of a cluster": (system(cluster(n1=1000)), set()),
    "fires in the cluster that is uneven": (
        system(cluster("EU", n1=60, n2=15, n3=15), cluster("US", n1=500, n2=500)),
        {"EU n1"},
    ),
    "quiet where only the clusters differ": (
        system(cluster("EU", n1=500, n2=500), cluster("US", n1=5, n2=5)),
        set(),
    ),
    "fires for the right one of two servers of one name": (
        system(cluster("EU", n1=5, n2=5), cluster("US", n1=60, n2=5, n3=5)),
        {"US n1"},
    ),
    "quiet about connections to the system account": (
        system(cluster(n1=Server(10, users={"$SYS admin": 50}), n2=10, n3=10)),
        set(),
    ),
    "quiet while a peer hangs": (system(cluster(n1=60, n2=hung, n3=15)), set()),
    "quiet while a peer has just died": (system(cluster(n1=60, n2=dead, n3=15)), set()),
    "fires though a peer of another cluster hangs": (
        system(cluster("EU", n1=60, n2=15, n3=15), cluster("US", n1=5, n2=hung)),
        {"EU n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "ratio = 2.1": set(),
    "min_connections = 61": set(),
    "min_connections = 60": {"C1 n1"},
    "ratio = 1.1": {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = system(cluster(n1=60, n2=15, n3=15))
    assert found(check, given, f"[checks.connection_hotspot]\n{setting}") == expected


def test_it_says_how_hot():
    said = finding(check, system(cluster(n1=61, n2=15, n3=15)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 holds 61 connections, 2.0 times the mean of C1",
        2.01,
        2.0,
        "x",
        {"connections": 61, "mean": 30.3},
    )


def test_it_stays_open_down_to_its_eased_limit():
    hot, at_the_eased_limit, below = (system(cluster(n1=n1, n2=18, n3=18)) for n1 in (72, 54, 53))
    story = Story(checks=[check])
    heard = [hot, hot, at_the_eased_limit, below, below]
    assert [story.hears(one) for one in heard] == [
        [],
        ["opened OPT_BALANCE_002 C1 n1"],
        [],
        [],
        ["resolved OPT_BALANCE_002 C1 n1"],
    ]


def test_what_is_only_at_the_eased_limit_does_not_open():
    assert found(check, system(cluster(n1=54, n2=18, n3=18))) == set()


def test_a_rolling_restart_is_waited_for():
    restarting = system(cluster(n1=60, n2=15, n3=Server(15, up=100.0)))
    settled = system(cluster(n1=60, n2=15, n3=Server(15, up=121.0)))
    story = Story(checks=[check], settle=120.0)
    assert [story.hears(one) for one in (restarting, restarting, settled, settled)] == [
        [],
        [],
        [],
        ["opened OPT_BALANCE_002 C1 n1"],
    ]
