"""SERVER_003: a server uses nearly all of its CPU."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.cpu_high import cpu_high as check
from nats_insights.judge.declare import CRITICAL, WARNING
from scenario import Server, Story, System, cluster, finding, found, hung, lone, system


def using(cpu: float, cores: int = 4, quota: int = 0) -> Server:
    """A server that uses so many percent of one core."""
    return Server(varz={"cpu": cpu, "cores": cores, "gomaxprocs": quota})


def beside(one: Server) -> System:
    return system(cluster(n1=one, n2=using(4.0)))


CASES = {
    "fires at 80 % of its cores": (beside(using(320.0)), {"C1 n1"}),
    "quiet just below": (beside(using(319.9)), set()),
    "quiet at 80 % of one core of four": (beside(using(80.0)), set()),
    "fires at 80 % of its only core": (beside(using(80.0, cores=1)), {"C1 n1"}),
    "fires at 80 % of its quota": (beside(using(160.0, cores=64, quota=2)), {"C1 n1"}),
    "quiet just below its quota": (beside(using(159.9, cores=64, quota=2)), set()),
    "fires where the quota is larger than the machine": (
        beside(using(320.0, cores=4, quota=8)),
        {"C1 n1"},
    ),
    "fires beyond 100 %": (beside(using(1000.0)), {"C1 n1"}),
    "quiet where no cores are told": (beside(using(90.0, cores=0)), set()),
    "fires on a server without a cluster": (system(lone(n1=using(400.0))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=using(400.0), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("cpu", "severity", "threshold"), [(379.9, WARNING, 80.0), (380.0, CRITICAL, 95.0)]
)
def test_it_is_critical_from_95_percent(cpu, severity, threshold):
    said = finding(check, beside(using(cpu)))
    assert (said.severity, said.threshold, said.unit) == (severity, threshold, "%")


def test_it_says_how_busy():
    said = finding(check, beside(using(170.0, cores=64, quota=2)))
    assert (said.summary, said.value, said.evidence) == (
        "n1 uses 85 % of its 2 cores",
        85.0,
        {"cpu": 170.0, "cores": 2, "cores_of_machine": 64},
    )


def test_one_hot_sample_is_no_finding_and_it_clears_below_its_eased_limit():
    hot, eased, cool = (beside(using(cpu)) for cpu in (330.0, 288.0, 287.9))
    story = Story(checks=[check])
    heard = [hot, hot, cool, hot, hot, hot, eased, cool, cool]
    assert [story.hears(one) for one in heard] == [
        *5 * [[]],
        ["opened SERVER_003 C1 n1"],
        [],
        [],
        ["resolved SERVER_003 C1 n1"],
    ]
