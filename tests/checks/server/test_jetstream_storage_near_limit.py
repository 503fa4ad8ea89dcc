"""SERVER_019: streams nearly fill the file storage that JetStream of a server may use."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.jetstream_storage_near_limit import (
    jetstream_storage_near_limit as check,
)
from nats_insights.judge.declare import CRITICAL, WARNING
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

MIB = 2**20


def using(used: int, most: int = 1000) -> Server:
    """A server whose file streams use so many MiB."""
    stats = {"storage": used * MIB, "memory": 10**15, "reserved_storage": 7}
    return Server(varz={"jetstream": {"config": {"max_storage": most * MIB}, "stats": stats}})


def beside(one: Server) -> System:
    return system(cluster(n1=one, n2=using(0)))


CASES = {
    "fires at 90 %": (beside(using(900)), {"C1 n1"}),
    "quiet just below": (beside(using(899)), set()),
    "fires in the peer's case of 901 of 1000": (beside(using(901)), {"C1 n1"}),
    "fires beyond the limit, which was lowered": (beside(using(1500)), {"C1 n1"}),
    "quiet in the peer's case of 500 of 1000": (beside(using(500)), set()),
    "quiet where no storage is allowed": (beside(using(1, most=0)), set()),
    "quiet without JetStream": (beside(Server(varz={"jetstream": {}})), set()),
    "fires on a server without a cluster": (system(lone(n1=using(900))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=using(900), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("used", "severity", "threshold"), [(949, WARNING, 90.0), (950, CRITICAL, 95.0)]
)
def test_it_is_critical_from_95_percent_on(used, severity, threshold):
    said = finding(check, beside(using(used)))
    assert (said.severity, said.threshold, said.unit) == (severity, threshold, "%")


SETTINGS = {
    "warning_percent = 90.1": set(),
    'critical_percent = "off"\nwarning_percent = 90.0': {"C1 n1"},
    "warning_percent = 80.0\ncritical_percent = 85.0": {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = beside(using(900))
    assert found(check, given, f"[checks.jetstream_storage_near_limit]\n{setting}") == expected


def test_it_says_how_full():
    said = finding(check, beside(using(961)))
    assert (said.summary, said.value, said.evidence) == (
        "file streams of n1 use 96 % of what they may use, 961.0 of 1,000.0 MiB",
        96.1,
        {"used": 961 * MIB, "reserved": 7, "max_storage": 1000 * MIB},
    )


def test_it_opens_and_resolves_below_its_eased_limit():
    story = Story(checks=[check])
    told = [story.hears(beside(using(used))) for used in (899, 900, 874, 872, 872)]
    assert told == [[], ["opened SERVER_019 C1 n1"], [], [], ["resolved SERVER_019 C1 n1"]]


def test_it_stays_critical_until_below_its_eased_limit():
    story = Story(checks=[check])
    told = [story.hears(beside(using(used))) for used in (950, 932, 930)]
    assert [" ".join(one.split()[0] for one in epoch) for epoch in told] == [
        "opened",
        "",
        "resolved opened",
    ]
