"""OPT_SYS_011: one subject has far more subscriptions than others."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_sys.subscription_fanout_anomaly import (
    subscription_fanout_anomaly as check,
)
from nats_insights.replies.subsz import Subsz
from nats_insights.testing import Server, Story, System, cluster, finding, found, hung, lone, system

OFTEN = "gather.every.SUBSZ = 0.0\n"  # Else SUBSZ is requested every five minutes.


def matching(most: int, mean: float) -> Server:
    """A server on which a subject has so many subscriptions at most, and so many on average."""
    return Server(5, replies={"SUBSZ": Subsz(max_fanout=most, avg_fanout=mean, num_cache=40)})


def at(most: int, mean: float) -> System:
    return system(cluster(n1=matching(most, mean), n2=matching(4, 2.0)))


CASES = {
    "fires at ten times the mean": (at(20_000, 2000.0), {"C1 n1"}),
    "quiet just below": (at(20_000, 2000.1), set()),
    "fires at ten thousand": (at(10_000, 2.0), {"C1 n1"}),
    "quiet at one less": (at(9999, 2.0), set()),
    "quiet for a broadcast to a thousand clients": (at(1000, 1.2), set()),
    "fires where most subjects have no subscriptions": (at(10_000, 0.1), {"C1 n1"}),
    "quiet where no subject was looked up": (at(0, 0.0), set()),
    "fires though a peer hangs": (system(cluster(n1=matching(10_000, 2.0), n2=hung)), {"C1 n1"}),
    "fires on a server without a cluster": (system(lone(n1=matching(10_000, 2.0))), {"n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {"ratio = 11": set(), "min_fanout = 20_001": set(), "min_fanout = 20_000": {"C1 n1"}}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.subscription_fanout_anomaly]\n{setting}"
    assert found(check, at(20_000, 2000.0), config) == expected


@pytest.mark.parametrize(
    ("most", "mean", "expected"),
    [(19, 2.0, set()), (20, 2.0, {"C1 n1"}), (9, 0.5, set()), (10, 0.5, {"C1 n1"})],
)
def test_the_profile_insights_finds_few_subscriptions_too(most, mean, expected):
    assert found(check, at(most, mean), 'profile = "insights"') == expected


def test_it_says_how_many():
    said = finding(check, at(40_000, 2.5))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "a subject has 40,000 subscriptions on n1, 16,000.0 times the mean",
        16_000.0,
        10.0,
        "x",
        {"mean": 2.5, "subjects": 40},
    )


def test_it_opens_at_the_second_look_and_resolves_below_the_eased_limits():
    story = Story(OFTEN, [check])
    looks = [*2 * [at(10_000, 2.0)], at(8000, 1000.0), at(7999, 2.0), at(8000, 1001.0)]
    assert [story.hears(one) for one in looks] == [
        [],
        ["opened OPT_SYS_011 C1 n1"],
        [],
        [],
        ["resolved OPT_SYS_011 C1 n1"],
    ]


def test_the_interest_of_a_whole_cluster_is_one_finding():
    names = [f"n{number}" for number in range(5)]
    story = Story(f"{OFTEN}checks.subscription_fanout_anomaly.open_after = 1", [check])
    told = story.hears(system(cluster(**{name: matching(10_000, 2.0) for name in names})))
    assert told == ["opened OPT_SYS_011 system"]
