"""CLUSTER_004: the name of a cluster has whitespace in it."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.cluster_name_whitespace import cluster_name_whitespace as check
from nats_insights.testing import Story, cluster, finding, found, hung, lone, system

CASES = {
    "fires for spaces": (system(cluster("bad cluster name", n1=0, n2=0)), {"bad cluster name"}),
    "fires for a line break": (system(cluster("bad\nname", n1=0)), {"bad\nname"}),
    "fires for a tab, which the peer's rule does not": (
        system(cluster("bad\tname", n1=0)),
        {"bad\tname"},
    ),
    "fires for the bad one of two": (
        system(cluster("EU", n1=0), cluster("U S", n2=0)),
        {"U S"},
    ),
    "fires though a server hangs": (system(cluster("U S", n1=0, n2=hung)), {"U S"}),
    "quiet for one word": (system(cluster("good", n1=0, n2=0)), set()),
    "quiet about a server without a cluster": (system(lone(n1=0)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_names_the_cluster_printably_and_its_servers():
    said = finding(check, system(cluster("U\tS", n2=0, n1=0)))
    assert (said.summary, said.value, said.evidence) == (
        "the name of cluster 'U\\tS' has whitespace in it",
        None,
        {"servers": ["n1", "n2"]},
    )


def test_it_opens_and_resolves_once_the_cluster_has_another_name():
    story = Story("lifecycle.gone_after = '1m'", checks=[check])
    bad, good = cluster("U S", n1=0), cluster("EU", m1=0, m2=0, m3=0)
    assert story.hears(system(bad, good)) == ["opened CLUSTER_004 U S"]
    told = [one for _ in range(6) for one in story.hears(system(good))]
    assert told == ["resolved CLUSTER_004 U S"]
