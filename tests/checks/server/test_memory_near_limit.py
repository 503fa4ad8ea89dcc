"""SERVER_906: the memory of a server reaches its GOMEMLIMIT."""

from __future__ import annotations

import pytest

from nats_insights.check import CRITICAL, WARNING
from nats_insights.checks.server.memory_near_limit import memory_near_limit as check
from nats_insights.testing import Server, Story, System, cluster, finding, found, hung, lone, system

LIMIT = 1000 * 2**20


def using(percent: float, limit: int = LIMIT, version: str = "2.15.1") -> Server:
    """A server that uses so much of its limit."""
    told = {"gomemlimit": limit} if limit else {}
    return Server(1, version=version, varz={"mem": round(percent * LIMIT / 100), **told})


def at(percent: float) -> System:
    return system(cluster(n1=using(percent), n2=using(50)))


CASES = {
    "fires at its limit": (at(100), {"C1 n1"}),
    "quiet below": (at(99.9), set()),
    "quiet without a limit": (system(lone(n1=using(900, limit=0))), set()),
    "quiet about a server that does not tell": (
        system(lone(n1=using(900, limit=0, version="2.10.26"))),
        set(),
    ),
    "fires on a server without a cluster": (system(lone(n1=using(120))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=using(120), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("percent", "severity", "threshold"), [(109.9, WARNING, 100), (110, CRITICAL, 110)]
)
def test_it_is_critical_from_a_tenth_above(percent, severity, threshold):
    said = finding(check, at(percent))
    assert (said.value, said.severity, said.threshold) == (percent, severity, threshold)


@pytest.mark.parametrize(("percent", "expected"), [(80, {"C1 n1"}), (80.1, set())])
def test_its_limits_can_be_set(percent, expected):
    config = f"checks.memory_near_limit.warning_percent = {percent}"
    assert found(check, at(80), config) == expected


def test_it_says_how_much():
    said = finding(check, at(125))
    assert (said.summary, said.evidence) == (
        "n1 uses 1,250 MiB, 125 % of its GOMEMLIMIT",
        {"memory": 5 * LIMIT // 4, "gomemlimit": LIMIT},
    )


def test_it_is_unknown_of_a_server_that_does_not_tell():
    story = Story(checks=[check])
    story.hears(system(lone(n1=using(900, limit=0, version="2.10.26"))))
    assert story.audit.outcomes[check.code].why == "gomemlimit of n1: not told by 2.10.26"


def test_it_opens_at_the_fifth_look_and_resolves_clearly_below():
    story = Story(checks=[check])
    heard = [story.hears(at(percent)) for percent in (*5 * [101], 96, 94, 94)]
    assert heard == [*4 * [[]], ["opened SERVER_906 C1 n1"], [], [], ["resolved SERVER_906 C1 n1"]]
