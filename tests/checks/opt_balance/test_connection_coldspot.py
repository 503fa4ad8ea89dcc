"""OPT_BALANCE_901: one server of a cluster holds far fewer connections than its peers."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_balance.connection_coldspot import connection_coldspot as check
from nats_insights.testing import Server, Story, cluster, dead, finding, found, hung, lone, system

CASES = {
    "fires at half of the median": (system(cluster(n1=20, n2=40, n3=50)), {"C1 n1"}),
    "quiet just above": (system(cluster(n1=21, n2=40, n3=50)), set()),
    "fires for a server that is empty": (system(cluster(n1=0, n2=40, n3=40)), {"C1 n1"}),
    "fires where the median is 20": (system(cluster(n1=0, n2=20, n3=20)), {"C1 n1"}),
    "quiet where it is less": (system(cluster(n1=0, n2=19, n3=20)), set()),
    "quiet about the peers of a hot server": (system(cluster(n1=900, n2=30, n3=30)), set()),
    "fires for two of five": (
        system(cluster(n1=5, n2=10, n3=30, n4=30, n5=30)),
        {"C1 n1", "C1 n2"},
    ),
    "quiet in a cluster of two, where nobody is usual": (system(cluster(n1=0, n2=90)), set()),
    "quiet about servers without a cluster": (system(lone(n1=0), lone(n2=90, n3=90)), set()),
    "fires in the cluster that is uneven": (
        system(cluster("EU", a=5, b=60, c=60), cluster("US", d=60, e=60, f=60)),
        {"EU a"},
    ),
    "quiet about connections to the system account": (
        system(cluster(n1=40, n2=Server(40, {"$SYS admin": 90}), n3=Server(40, {"$SYS b": 90}))),
        set(),
    ),
    "quiet while a peer hangs": (system(cluster(n1=5, n2=hung, n3=40, n4=40)), set()),
    "quiet while a peer has just died": (system(cluster(n1=5, n2=dead, n3=40, n4=40)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {"ratio = 0.4": set(), "ratio = 0.5": {"C1 n1"}, "min_median = 40.1": set()}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = system(cluster(n1=20, n2=40, n3=50))
    assert found(check, given, f"[checks.connection_coldspot]\n{setting}") == expected


def test_it_says_how_cold():
    said = finding(check, system(cluster(n1=10, n2=40, n3=50)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 holds 10 connections, where a usual server of C1 holds 40",
        0.25,
        0.5,
        "x",
        {"connections": 10, "median": 40, "mean": 33.3},
    )


def test_it_stays_open_up_to_its_eased_limit_and_says_what_it_came_to():
    cold, at_the_eased_limit, above = (system(cluster(n1=n1, n2=50, n3=50)) for n1 in (9, 30, 31))
    story = Story(checks=[check])
    heard = [cold, cold, at_the_eased_limit, above, above]
    assert [bool(story.hears(one)) for one in heard] == [False, True, True, False, True]
    assert story.told[0].life.summary == (
        "n1 holds 31 connections, where a usual server of C1 holds 50"
    )


def test_a_rolling_restart_is_waited_for():
    restarting = system(cluster(n1=Server(0, up=100.0), n2=50, n3=50))
    settled = system(cluster(n1=Server(0, up=121.0), n2=50, n3=50))
    story = Story(checks=[check], settle=120.0)
    assert [story.hears(one) for one in (restarting, restarting, settled, settled)] == [
        [],
        [],
        [],
        ["opened OPT_BALANCE_901 C1 n1"],
    ]
