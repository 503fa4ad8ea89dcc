"""OPT_SYS_006: a leaf node connection over some distance is not compressed."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_sys.leaf_compression_disabled import (
    leaf_compression_disabled as check,
)
from nats_insights.testing import Server, Story, System, cluster, finding, found, leaf, lone, system


def hub(*connections: tuple[str, str]) -> System:
    """A hub with connections of one leaf node: how they are compressed, and how far it is."""
    leafs = tuple(leaf(compression=level, rtt=rtt) for level, rtt in connections)
    return system(cluster(n1=Server(leafs=leafs), n2=5))


CASES = {
    "fires for off at 10 ms": (hub(("off", "10ms")), {"C1 n1 APP edge"}),
    "quiet just below": (hub(("off", "9.99ms")), set()),
    "quiet on one machine": (hub(("off", "120µs")), set()),
    "fires where the other end is too old": (hub(("not supported", "25ms")), {"C1 n1 APP edge"}),
    "quiet at each level": (
        hub(*((f"s2_{level}", "90ms") for level in ("uncompressed", "fast", "better", "best"))),
        set(),
    ),
    "quiet where the level is not told": (hub(("", "90ms")), set()),
    "fires for one of two connections": (
        hub(("s2_fast", "20ms"), ("off", "20ms")),
        {"C1 n1 APP edge"},
    ),
    "quiet where only the compressed one is far": (hub(("s2_fast", "80ms"), ("off", "1ms")), set()),
    "fires once, at the leaf node, where both ends list it": (
        system(
            cluster(n1=Server(leafs=(leaf(rtt="20ms", compression="off"),))),
            lone(edge=Server(leafs=(leaf("n1", "20ms", compression="off", is_spoke=True),))),
        ),
        {"edge APP n1"},
    ),
    "fires for a hub in another system": (
        system(lone(edge=Server(leafs=(leaf("hub", "20ms", compression="off", is_spoke=True),)))),
        {"edge APP hub"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("least", "expected"), [("5.0", {"C1 n1 APP edge"}), ("5.1", set())])
def test_its_limit_can_be_set(least, expected):
    config = f"[checks.leaf_compression_disabled]\nmin_ms = {least}"
    assert found(check, hub(("off", "5ms")), config) == expected


def test_the_profile_insights_finds_every_connection():
    assert found(check, hub(("off", "0s")), 'profile = "insights"') == {"C1 n1 APP edge"}


def test_it_says_how_far_it_is():
    said = finding(check, hub(("off", "20ms"), ("not supported", "31.6ms"), ("s2_fast", "99ms")))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "the leaf node connection of n1 with edge is not compressed, "
        "and a round trip takes 32 ms, in account APP",
        31.6,
        10.0,
        "ms",
        {"compression": "not supported", "connections": 2},
    )


def test_it_opens_at_the_tenth_look_and_resolves_with_compression():
    story = Story(checks=[check])
    off, still, on = (hub(one) for one in (("off", "12ms"), ("off", "8ms"), ("s2_fast", "12ms")))
    assert [story.hears(one) for one in [*10 * [off], still, on, on]] == [
        *9 * [[]],
        ["opened OPT_SYS_006 C1 n1 APP edge"],
        [],
        [],
        ["resolved OPT_SYS_006 C1 n1 APP edge"],
    ]


def test_a_hub_that_compresses_none_is_one_finding():
    leafs = tuple(leaf(f"e{number}", "20ms", compression="off") for number in range(5))
    story = Story("checks.leaf_compression_disabled.open_after = 1", [check])
    assert story.hears(system(lone(n1=Server(leafs=leafs)))) == ["opened OPT_SYS_006 system"]
