"""OPT_BALANCE_003: one server of a cluster holds far more local subscriptions than its peers."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_balance.subscription_hotspot import subscription_hotspot as check
from scenario import Server, Story, cluster, finding, found, hung, lone, recorded, system


def subscribed(name: str = "C1", /, **subscriptions: int) -> list:
    """A cluster whose servers have ten clients each, with so many subscriptions together."""
    return cluster(name, **{name: Server(10, subscriptions=n) for name, n in subscriptions.items()})


CASES = {
    "fires at twice the mean": (system(subscribed(n1=600, n2=150, n3=150)), {"C1 n1"}),
    "quiet just below twice the mean": (system(subscribed(n1=599, n2=151, n3=150)), set()),
    "fires when one of three has them all": (system(subscribed(n1=900, n2=0, n3=0)), {"C1 n1"}),
    "fires at a hundred": (system(subscribed(n1=100, n2=0)), {"C1 n1"}),
    "quiet at ninety-nine": (system(subscribed(n1=99, n2=0)), set()),
    "quiet about a server without a cluster": (
        system(lone(n1=Server(1, subscriptions=9000)), lone(n2=0)),
        set(),
    ),
    "quiet about many connections with even subscriptions": (
        system(cluster(n1=Server(90, subscriptions=300), n2=Server(1, subscriptions=300))),
        set(),
    ),
    "fires in the cluster that is uneven": (
        system(subscribed("EU", n1=600, n2=150, n3=150), subscribed("US", n1=5000, n2=5000)),
        {"EU n1"},
    ),
    "quiet where only the clusters differ": (
        system(subscribed("EU", n1=5000, n2=5000), subscribed("US", n1=10, n2=10)),
        set(),
    ),
    "quiet while a peer hangs": (
        system([*subscribed(n1=600, n2=150), *cluster(n3=hung)]),
        set(),
    ),
    "fires on recorded replies, whose totals are alike": (recorded("2.15.1"), {"C1 S1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "ratio = 2.1": set(),
    "min_subscriptions = 601": set(),
    "min_subscriptions = 600": {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = system(subscribed(n1=600, n2=150, n3=150))
    assert found(check, given, f"[checks.subscription_hotspot]\n{setting}") == expected


def test_it_says_how_hot_and_leaves_routed_interest_out():
    said = finding(check, recorded("2.15.1"))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "S1 holds 4,800 local subscriptions, 3.0 times the mean of C1",
        2.99,
        2.0,
        "x",
        {"subscriptions": 4800, "mean": 1603.7, "with_internal": 4872},
    )


def test_it_stays_open_down_to_its_eased_limit():
    heard = [system(subscribed(n1=n1, n2=180, n3=180)) for n1 in (720, 720, 540, 535, 535)]
    story = Story(checks=[check])
    assert [story.hears(one) for one in heard] == [
        [],
        ["opened OPT_BALANCE_003 C1 n1"],
        [],
        [],
        ["resolved OPT_BALANCE_003 C1 n1"],
    ]
