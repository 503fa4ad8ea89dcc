"""LEAF_003: a leaf node connection carries very many subscriptions."""

from __future__ import annotations

import pytest

from nats_insights.checks.leaf.leafnode_subscription_count_high import (
    leafnode_subscription_count_high as check,
)
from nats_insights.judge.declare import CRITICAL, WARNING
from nats_insights.testing import Server, Story, System, cluster, finding, found, leaf, system


def hub(*counts: int, name: str = "edge", **more: object) -> System:
    """A hub with leaf node connections that brought so many subscriptions."""
    leafs = tuple(leaf(name, subscriptions=count, **more) for count in counts)
    return system(cluster(n1=Server(leafs=leafs), n2=5))


CASES = {
    "fires at 20,000": (hub(20_000), {"C1 n1 APP edge"}),
    "quiet at one less": (hub(19_999), set()),
    "quiet where two connections have as many together": (hub(15_000, 15_000), set()),
    "fires for the larger one of two connections": (hub(5, 30_000), {"C1 n1 APP edge"}),
    "fires at the leaf node for what its hub sent": (
        hub(20_000, name="hub", is_spoke=True),
        {"C1 n1 APP hub"},
    ),
    "quiet without leaf nodes": (hub(), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("count", "severity", "threshold"), [(49_999, WARNING, 20_000), (50_000, CRITICAL, 50_000)]
)
def test_it_is_critical_from_50_000(count, severity, threshold):
    said = finding(check, hub(count))
    assert (said.severity, said.threshold) == (severity, threshold)


@pytest.mark.parametrize(("limit", "expected"), [(99, {"C1 n1 APP edge"}), (100, set())])
def test_its_limits_can_be_set(limit, expected):
    config = f"[checks.leafnode_subscription_count_high]\nwarning = {limit}"
    assert found(check, hub(99), config) == expected


def test_it_says_how_many():
    said = finding(check, hub(21_000, 4))
    assert (said.summary, said.value, said.unit, said.evidence) == (
        "n1 holds 21,000 subscriptions that came over one leaf node connection with edge, "
        "in account APP",
        21_000,
        "subscriptions",
        {"subscriptions": 21_004, "connections": 2},
    )


def test_it_opens_at_the_second_look_and_resolves_below_the_eased_limit():
    story = Story(checks=[check])
    heard = [story.hears(hub(count)) for count in (20_000, 20_000, 18_000, 17_999, 17_999)]
    assert heard == [
        [],
        ["opened LEAF_003 C1 n1 APP edge"],
        [],
        [],
        ["resolved LEAF_003 C1 n1 APP edge"],
    ]


def test_the_same_interest_of_all_leaf_nodes_is_one_finding():
    leafs = tuple(leaf(f"e{number}", subscriptions=30_000) for number in range(5))
    story = Story(checks=[check])
    heard = [story.hears(system(cluster(n1=Server(leafs=leafs)))) for _ in range(2)]
    assert heard == [[], ["opened LEAF_003 system"]]
