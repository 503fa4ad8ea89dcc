"""JETSTREAM_005: many JetStream API requests wait in a server."""

from __future__ import annotations

import pytest

from nats_insights.checks.jetstream.js_api_pending_high import js_api_pending_high as check
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


def holding(requests: int) -> Server:
    api = {"total": 90_000, "errors": 7, "inflight": requests}
    return Server(varz={"jetstream": {"stats": {"api": api}}})


def beside(requests: int) -> System:
    return system(cluster(n1=holding(requests), n2=holding(0)))


CASES = {
    "fires above 1,000": (beside(1001), {"C1 n1"}),
    "quiet at 1,000": (beside(1000), set()),
    "quiet without JetStream": (system(lone(n1=Server(varz={"jetstream": {}}))), set()),
    "fires on a server without a cluster": (system(lone(n1=holding(1001))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=holding(1001), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("most", "expected"), [(1001, set()), (9, {"C1 n1"})])
def test_its_parameters_can_be_set(most, expected):
    given = beside(1001)
    assert found(check, given, f"[checks.js_api_pending_high]\npending = {most}") == expected


def test_it_says_how_many():
    said = finding(check, beside(2345))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "2,345 JetStream API requests wait in n1",
        2345,
        1000,
        "requests",
        {"total": 90_000, "errors": 7},
    )


def test_one_look_is_no_finding_and_it_clears_below_its_eased_limit():
    story = Story(checks=[check])
    told = [story.hears(beside(many)) for many in (1001, 1000, 1001, 1001, 801, 800, 800)]
    assert told == [
        [],
        [],
        [],
        ["opened JETSTREAM_005 C1 n1"],
        [],
        [],
        ["resolved JETSTREAM_005 C1 n1"],
    ]
