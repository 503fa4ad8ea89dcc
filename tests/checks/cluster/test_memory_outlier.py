"""CLUSTER_001: a server uses far more memory than the others of its cluster."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.memory_outlier import memory_outlier as check
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    dead,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)

MIB = 2**20


def using(mib: float, up: float = 86_400.0) -> Server:
    return Server(up=up, varz={"mem": int(mib * MIB)})


def of(*mib: float) -> System:
    return system(cluster(**{f"n{i}": using(each) for i, each in enumerate(mib, 1)}))


CASES = {
    "quiet in the peer's case of 100, 100 and 400 MiB, below the floor": (of(100, 100, 400), set()),
    "fires in the same case ten times as large": (of(1000, 1000, 4000), {"C1 n3"}),
    "quiet in the peer's case of 100, 105 and 110": (of(1000, 1050, 1100), set()),
    "quiet in the peer's case of a single server": (of(9990), set()),
    "quiet in the peer's case of exactly 1.5 times": (of(1100, 1100, 2200), set()),
    "fires above that": (of(1100, 1100, 2201), {"C1 n3"}),
    "fires at the floor": (of(100, 100, 1024), {"C1 n3"}),
    "quiet below it": (of(100, 100, 1023.9), set()),
    "fires in a cluster of two": (of(1000, 3001), {"C1 n2"}),
    "quiet on a server without a cluster": (system(lone(n1=using(9000), n2=using(1))), set()),
    "quiet where clusters differ": (
        system(cluster("EU", a=using(9000), b=using(9000)), cluster("US", c=using(9), d=using(9))),
        set(),
    ),
    "quiet while a peer hangs, which may use as much": (
        system(cluster(n1=using(4000), n2=using(100), n3=hung)),
        set(),
    ),
    "fires though a peer died": (
        then(*2 * [system(cluster(n1=using(4000), n2=using(100), n3=dead))]),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {"ratio = 2.0": set(), "ratio = 1.9": {"C1 n3"}, "min_mib = 4000.1": set()}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.memory_outlier]\n{setting}"
    assert found(check, of(1000, 1000, 4000), config) == expected


def test_without_a_floor_it_finds_what_the_peer_finds():
    config = 'profile = "insights"'
    assert found(check, of(100, 100, 400), config) == {"C1 n3"}
    assert found(check, of(0, 0, 0), config) == set()


def test_it_says_how_much():
    said = finding(check, of(1000, 1000, 4000))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n3 uses 4,000 MiB of memory, 2.0 times the mean of C1",
        2.0,
        1.5,
        "x",
        {"mem": 4000 * MIB, "mean": 2000 * MIB, "connections": 0, "subscriptions": 0},
    )


def test_a_restart_of_a_peer_is_no_finding_and_a_lasting_outlier_opens_and_resolves():
    story = Story(checks=[check], settle=120.0)
    even, odd = of(3000, 3000), of(1000, 3001)
    for age in range(0, 720, 30):  # It has what it had after twelve minutes.
        grown = system(cluster(n1=using(3000), n2=using(3000 * age / 720, up=float(age))))
        assert story.hears(grown) == []
    assert [one for _ in range(19) for one in story.hears(odd)] == []
    assert story.hears(odd) == ["opened CLUSTER_001 C1 n2"]
    assert [story.hears(one) for one in (of(1000, 2100), even, even)] == [
        [],
        [],
        ["resolved CLUSTER_001 C1 n2"],
    ]
