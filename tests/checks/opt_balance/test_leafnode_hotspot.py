"""OPT_BALANCE_902: one server of a cluster has far more leaf nodes than its peers."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_balance.leafnode_hotspot import leafnode_hotspot as check
from nats_insights.replies.varz import LeafOptions
from nats_insights.testing import (
    Server,
    Story,
    cluster,
    dead,
    finding,
    found,
    hung,
    leaf,
    lone,
    system,
)


def hub(accepted: int, solicited: int = 0, port: int = 7422, **more: object) -> Server:
    """A server with a listener for leaf nodes, if it has a port."""
    leafs = [leaf(f"e{number}") for number in range(accepted)]
    leafs += [leaf(f"h{number}", is_spoke=True) for number in range(solicited)]
    return Server(5, leafs=tuple(leafs), varz={"leaf": LeafOptions(port=port)}, **more)


WITHOUT = hub(0, port=0)
CASES = {
    "fires at twice the mean": (system(cluster(n1=hub(40), n2=hub(10), n3=hub(10))), {"C1 n1"}),
    "quiet just below": (system(cluster(n1=hub(39), n2=hub(11), n3=hub(10))), set()),
    "fires at ten": (system(cluster(n1=hub(10), n2=hub(0))), {"C1 n1"}),
    "quiet at nine": (system(cluster(n1=hub(9), n2=hub(0))), set()),
    "fires for two hot servers of four": (
        system(cluster(n1=hub(20), n2=hub(20), n3=hub(0), n4=hub(0))),
        {"C1 n1", "C1 n2"},
    ),
    "quiet where the other servers do not listen for leaf nodes": (
        system(cluster(n1=hub(40), n2=WITHOUT, n3=Server(5))),
        set(),
    ),
    "quiet where those that listen share them": (
        system(cluster(n1=hub(30), n2=hub(16), n3=WITHOUT, n4=Server(5))),
        set(),
    ),
    "quiet about what a server is a leaf node of": (
        system(cluster(n1=hub(2, solicited=40), n2=hub(2), n3=hub(2))),
        set(),
    ),
    "quiet where it makes ten with those": (
        system(cluster(n1=hub(9, solicited=5), n2=hub(0))),
        set(),
    ),
    "quiet about a leaf node that does not listen": (
        system(cluster(n1=hub(0, solicited=40, port=0), n2=hub(0), n3=hub(0))),
        set(),
    ),
    "quiet about a server without a cluster": (system(lone(n1=hub(90)), lone(n2=hub(0))), set()),
    "quiet where only the clusters differ": (
        system(cluster("EU", n1=hub(30), n2=hub(30)), cluster("US", n1=hub(1), n2=hub(1))),
        set(),
    ),
    "quiet after a rolling restart of five": (
        system(cluster(n1=hub(36), n2=hub(30), n3=hub(22), n4=hub(12), n5=hub(0))),
        set(),
    ),
    "quiet while a peer hangs": (system(cluster(n1=hub(40), n2=hub(10), n3=hung)), set()),
    "quiet while a peer has just died": (system(cluster(n1=hub(40), n2=hub(10), n3=dead)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {"ratio = 2.1": set(), "min_leafs = 41": set(), "min_leafs = 40": {"C1 n1"}}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = system(cluster(n1=hub(40), n2=hub(10), n3=hub(10)))
    assert found(check, given, f"[checks.leafnode_hotspot]\n{setting}") == expected


def test_it_says_how_hot():
    said = finding(check, system(cluster(n1=hub(41), n2=hub(15), n3=hub(5), n4=WITHOUT)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 has 41 leaf node connections, 2.0 times the mean of C1",
        2.02,
        2.0,
        "x",
        {"connections": {"top": [["n1", 41], ["n2", 15], ["n3", 5]], "left_out": 0}, "mean": 20.3},
    )


def test_it_stays_open_down_to_its_eased_limit():
    story = Story(checks=[check])
    told = [
        story.hears(system(cluster(n1=hub(n1), n2=hub(12), n3=hub(12))))
        for n1 in (48, 48, 36, 35, 35)
    ]
    opened, resolved = (f"{what} OPT_BALANCE_902 C1 n1" for what in ("opened", "resolved"))
    assert told == [[], [opened], [], [], [resolved]]


def test_a_rolling_restart_is_waited_for():
    story = Story(checks=[check], settle=120.0)
    restarting = system(cluster(n1=hub(40), n2=hub(10), n3=hub(0, up=100.0)))
    assert [story.hears(restarting) for _ in range(3)] == [[], [], []]
