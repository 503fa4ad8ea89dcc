"""LEAF_002: messages to and from a leaf node take long."""

from __future__ import annotations

import pytest

from nats_insights.checks.leaf.high_leaf_rtt import high_leaf_rtt as check
from nats_insights.testing import Server, Story, System, cluster, finding, found, leaf, lone, system


def hub(*rtts: str, **more: object) -> System:
    """A hub with leaf nodes whose round trips take so long."""
    leafs = tuple(leaf(f"e{number}", rtt, **more) for number, rtt in enumerate(rtts))
    return system(cluster(n1=Server(leafs=leafs), n2=5))


def both_ends(rtt: str, hub: str = "n1") -> System:
    """A hub and its leaf node, both servers of this system."""
    return system(
        cluster(n1=Server(leafs=(leaf("edge", rtt),)), n2=5),
        lone(edge=Server(leafs=(leaf(hub, rtt, is_spoke=True),))),
    )


CASES = {
    "fires at 350 ms": (hub("350ms"), {"C1 n1 APP e0"}),
    "quiet just below": (hub("349.9ms"), set()),
    "quiet at the 101 ms that the catalogue finds": (hub("101ms"), set()),
    "quiet for microseconds": (hub("350µs"), set()),
    "fires for seconds": (hub("1m2.5s"), {"C1 n1 APP e0"}),
    "quiet before the first ping": (hub("0s"), set()),
    "fires for one of two": (hub("1ms", "500ms"), {"C1 n1 APP e1"}),
    "fires for the slower one of two connections": (
        system(lone(n1=Server(leafs=(leaf(rtt="400ms"), leaf(rtt="1ms"))))),
        {"n1 APP edge"},
    ),
    "fires once, at the leaf node, where both ends list it": (both_ends("400ms"), {"edge APP n1"}),
    "fires for a hub in another system": (
        system(lone(edge=Server(leafs=(leaf("hub", "400ms", is_spoke=True),)))),
        {"edge APP hub"},
    ),
    "fires at both where a server only has the name of the leaf node": (
        both_ends("400ms", hub="other"),
        {"C1 n1 APP edge", "edge APP other"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("limit", "expected"), [("100.0", {"C1 n1 APP e0"}), ("100.1", set())])
def test_its_limit_can_be_set(limit, expected):
    config = f"[checks.high_leaf_rtt]\nmax_ms = {limit}"
    assert found(check, hub("100ms"), config) == expected


def test_it_says_how_long():
    said = finding(check, system(lone(n1=Server(leafs=(leaf(rtt="1234.5ms"), leaf())))))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "a round trip over the leaf node connection of n1 with edge takes 1,234 ms, in account APP",
        1234.5,
        350.0,
        "ms",
        {"connections": 2},
    )


def test_it_opens_at_the_tenth_look_and_resolves_below_the_eased_limit():
    story = Story(checks=[check])
    heard = [story.hears(hub(rtt)) for rtt in 10 * ["360ms"] + ["316ms", "314ms", "314ms"]]
    assert heard == [
        *9 * [[]],
        ["opened LEAF_002 C1 n1 APP e0"],
        [],
        [],
        ["resolved LEAF_002 C1 n1 APP e0"],
    ]


def test_one_slow_ping_is_not_enough():
    story = Story(checks=[check])
    assert not any(story.hears(hub(rtt)) for rtt in [*9 * ["2s"], "80ms", *9 * ["2s"]])


def test_the_profile_insights_has_the_limit_of_the_catalogue():
    assert found(check, hub("100ms", "99ms"), 'profile = "insights"') == {"C1 n1 APP e0"}


def test_all_leaf_nodes_far_away_are_one_finding():
    story = Story("checks.high_leaf_rtt.open_after = 1", [check])
    assert story.hears(hub(*5 * ["400ms"])) == ["opened LEAF_002 system"]
