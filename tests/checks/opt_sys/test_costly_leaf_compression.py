"""OPT_SYS_017: a busy server compresses many leaf node connections as well as it can."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_sys.costly_leaf_compression import costly_leaf_compression as check
from nats_insights.testing import Server, Story, System, cluster, finding, found, leaf, system


def hub(cpu: float = 120.0, cores: int = 2, gomaxprocs: int = 2, **levels: int) -> System:
    """A hub that uses so many percent of one core, with so many connections at each level."""
    leafs = tuple(
        leaf(f"e{number}", compression=f"s2_{level}")
        for level, count in levels.items()
        for number in range(count)
    )
    varz = {"cpu": cpu, "cores": cores, "gomaxprocs": gomaxprocs}
    return system(cluster(n1=Server(leafs=leafs, varz=varz), n2=5))


CASES = {
    "fires for twenty at both limits": (hub(best=20), {"C1 n1"}),
    "fires for twenty at two levels": (hub(best=9, better=11), {"C1 n1"}),
    "quiet for nineteen": (hub(best=10, better=9, fast=30, uncompressed=30), set()),
    "quiet just below so much CPU": (hub(119.9, best=20), set()),
    "fires by the cores of its quota": (hub(60.0, 2, 1, best=20), {"C1 n1"}),
    "quiet by the cores of its machine": (hub(60.0, 2, 0, best=20), set()),
    "quiet where no cores are told": (hub(59.9, 0, 0, best=20), set()),
    "quiet without leaf nodes": (hub(), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "min_leafs = 21": set(),
    "cpu_percent = 60.1": set(),
    "min_leafs = 20\ncpu_percent = 60.0": {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.costly_leaf_compression]\n{setting}"
    assert found(check, hub(best=20), config) == expected


@pytest.mark.parametrize(("count", "expected"), [(20, set()), (21, {"C1 n1"})])
def test_the_profile_insights_does_not_look_at_the_cpu(count, expected):
    assert found(check, hub(0.0, best=count), 'profile = "insights"') == expected


def test_it_says_how_many_and_how_busy_the_server_is():
    said = finding(check, hub(150.0, best=20, better=1, fast=4))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        'n1 compresses 21 of 25 leaf node connections at "better" or "best", '
        "and uses 75 % of its cores",
        21,
        20,
        "connections",
        {"levels": {"s2_best": 20, "s2_better": 1, "s2_fast": 4}, "cpu_percent": 75.0},
    )


def test_it_opens_at_the_fifth_look_and_resolves_below_an_eased_limit():
    story = Story(checks=[check])
    looks = [*5 * [hub(best=20)], hub(96.0, best=16), hub(95.9, best=20), hub(best=15)]
    assert [story.hears(one) for one in looks] == [
        *4 * [[]],
        ["opened OPT_SYS_017 C1 n1"],
        [],
        [],
        ["resolved OPT_SYS_017 C1 n1"],
    ]
