"""AGENT_002: the agent cannot keep its interval."""

from __future__ import annotations

import pytest

from nats_insights.checks.agent.agent_late import agent_late as check
from scenario import cluster, finding, found, hung, system


def late(epochs: int):
    """An agent that was late in so many epochs in a row."""
    return system(cluster(n1=1, n2=hung), late=epochs, took=42.5, interval=30.0)


CASES = {
    "quiet when it never was": (late(0), set()),
    "quiet after two epochs": (late(2), set()),
    "fires after three": (late(3), {"me"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_the_limit_can_be_set():
    assert found(check, late(1), "[checks.agent_late]\nepochs = 1") == {"me"}


def test_the_finding_has_the_numbers():
    told = finding(check, late(4))
    assert (told.value, told.threshold, told.evidence) == (
        4,
        3,
        {"interval_seconds": 30.0, "took_seconds": 42.5},
    )
    assert told.summary == (
        "4 epochs in a row took longer than the interval of 30 s, the last one 42.5 s"
    )
