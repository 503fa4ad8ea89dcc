"""LEAF_001: a server that is joined as a leaf node has whitespace in its name."""

from __future__ import annotations

import pytest

from nats_insights.checks.leaf.leafnode_name_whitespace import leafnode_name_whitespace as check
from nats_insights.testing import Server, Story, System, cluster, finding, found, leaf, lone, system


def joined(*names: str, **more: object) -> System:
    """A hub with leaf nodes of these names."""
    return system(cluster(n1=Server(leafs=tuple(leaf(name, **more) for name in names)), n2=5))


CASES = {
    "fires for a space": (joined("my edge"), {"C1 n1 APP my edge"}),
    "fires for a tab": (joined("my\tedge"), {"C1 n1 APP my\tedge"}),
    "fires for a carriage return": (joined("my\redge"), {"C1 n1 APP my\redge"}),
    "fires for a line feed at the end": (joined("edge\n"), {"C1 n1 APP edge\n"}),
    "fires for a space before it": (joined(" edge"), {"C1 n1 APP  edge"}),
    "fires for a space that does not break": (joined("my\u00a0edge"), {"C1 n1 APP my\u00a0edge"}),
    "fires for a name of nothing else": (joined(" "), {"C1 n1 APP  "}),
    "fires for one of two": (joined("edge-1", "edge 2"), {"C1 n1 APP edge 2"}),
    "fires at the leaf node for the name of its hub": (
        joined("the hub", is_spoke=True),
        {"C1 n1 APP the hub"},
    ),
    "quiet about other names": (joined("edge-1", "edge_2", "köln.edge"), set()),
    "quiet where a name is not told": (joined(""), set()),
    "quiet without leaf nodes": (joined(), set()),
    "quiet about the server's own name": (
        system(lone(**{"my hub": Server(leafs=(leaf(),))})),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_shows_the_whitespace():
    said = finding(check, joined("my\tedge", "my\tedge", ip="10.0.0.7"))
    assert said.summary == r"n1 has a leaf node connection with 'my\tedge', in account APP"
    assert said.evidence == {"address": "10.0.0.7", "connections": 2}


def test_it_opens_at_once_and_ends_with_the_name():
    story = Story(checks=[check])
    heard = [story.hears(joined(name)) for name in ("my edge", "my edge", "my-edge", "my-edge")]
    assert heard == [
        ["opened LEAF_001 C1 n1 APP my edge"],
        [],
        [],
        ["resolved LEAF_001 C1 n1 APP my edge"],
    ]
