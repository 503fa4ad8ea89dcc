"""CLUSTER_003: a server has very many replicated streams and consumers."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.ha_assets_high import ha_assets_high as check
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
)


def having(assets: int) -> Server:
    return Server(varz={"jetstream": {"stats": {"ha_assets": assets, "accounts": 3}}})


def beside(*assets: int) -> System:
    return system(cluster(**{f"n{i}": having(many) for i, many in enumerate(assets, 1)}))


CASES = {
    "fires at 1,000, unlike the peer's rule": (beside(1000), {"C1 n1"}),
    "quiet at 999": (beside(999), set()),
    "fires in the peer's case of 1,234": (beside(1234), {"C1 n1"}),
    "fires for one of two": (beside(500, 1234), {"C1 n2"}),
    "fires on a server without a cluster": (system(lone(n1=having(1000))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=having(1000), n2=hung)), {"C1 n1"}),
    "quiet without JetStream": (system(cluster(n1=Server(varz={"jetstream": {}}))), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("most", "expected"), [(1001, set()), (1000, {"C1 n1"})])
def test_its_parameters_can_be_set(most, expected):
    assert found(check, beside(1000), f"[checks.ha_assets_high]\nassets = {most}") == expected


def test_it_says_how_many():
    said = finding(check, beside(1234))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 has 1,234 replicated streams and consumers",
        1234,
        1000,
        "assets",
        {"accounts": 3},
    )


def test_it_opens_and_resolves_below_its_eased_limit():
    story = Story(checks=[check])
    told = [story.hears(beside(many)) for many in (999, 1000, 950, 949, 949)]
    assert told == [[], ["opened CLUSTER_003 C1 n1"], [], [], ["resolved CLUSTER_003 C1 n1"]]
