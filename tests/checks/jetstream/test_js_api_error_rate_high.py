"""JETSTREAM_009: most JetStream API requests to a server fail."""

from __future__ import annotations

import pytest

from nats_insights.checks.jetstream.js_api_error_rate_high import js_api_error_rate_high as check
from nats_insights.testing import (
    DAY,
    Epochs,
    Server,
    Story,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)


def counting(total: int, errors: int, up: float = DAY) -> Server:
    api = {"total": total, "errors": errors}
    return Server(up=up, varz={"jetstream": {"stats": {"api": api}}})


IDLE = counting(0, 0)


def counts(*counted: tuple[int, int], every: float = 300.0) -> Epochs:
    """A server that has answered so many requests, and so many of them with an error."""
    servers = [counting(*one) for one in counted]
    return then(*(system(cluster(n1=one, n2=IDLE)) for one in servers), every=every)


CASES = {
    "fires where 101 of 200 fail": (counts((10_000, 0), (10_200, 101)), {"C1 n1"}),
    "quiet where half of them fail": (counts((10_000, 0), (10_200, 100)), set()),
    "fires where all of 100 fail": (counts((10_000, 0), (10_100, 100)), {"C1 n1"}),
    "quiet where all of 99 fail": (counts((10_000, 0), (10_099, 99)), set()),
    "quiet where they failed in the past": (counts((10_000, 9000), (10_200, 9000)), set()),
    "quiet with few errors since the start": (counts((0, 0), (50, 50)), set()),
    "fires after a restart": (
        then(
            system(cluster(n1=counting(200, 0), n2=IDLE)),
            system(cluster(n1=counting(300, 151, up=50), n2=IDLE)),
            every=300.0,
        ),
        {"C1 n1"},
    ),
    "quiet after a restart, though fewer than before were answered": (
        then(
            system(cluster(n1=counting(220, 0), n2=IDLE)),
            system(cluster(n1=counting(300, 150, up=50), n2=IDLE)),
            every=300.0,
        ),
        set(),
    ),
    "quiet until it is five minutes": (counts((0, 0), (900, 900), every=260.0), set()),
    "quiet where all succeed since a restart": (
        then(
            system(cluster(n1=counting(500, 500), n2=IDLE)),
            system(cluster(n1=counting(900, 300, up=299), n2=IDLE)),
            every=300.0,
        ),
        set(),
    ),
    "quiet in the first epoch": (system(lone(n1=counting(500, 500))), set()),
    "quiet without JetStream": (
        then(*2 * [system(lone(n1=Server(varz={"jetstream": {}})))]),
        set(),
    ),
    "fires on a server without a cluster": (
        then(system(lone(n1=IDLE)), system(lone(n1=counting(100, 100))), every=300.0),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(
            system(cluster(n1=IDLE, n2=IDLE)),
            system(cluster(n1=counting(100, 100), n2=hung)),
            every=300.0,
        ),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "percent = 60.0": set(),
    "percent = 59.9": {"C1 n1"},
    "min_requests = 201": set(),
    "min_requests = 200": {"C1 n1"},
    'window = "150s"': set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = counts((9000, 0), (9200, 120), (9200, 120), every=150.0)
    assert found(check, given, f"[checks.js_api_error_rate_high]\n{setting}") == expected


def test_it_says_how_many_failed():
    said = finding(check, counts((1000, 10), (3000, 1510)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "1,500 of 2,000 JetStream API requests to n1 failed in the last 300 s",
        75.0,
        50.0,
        "%",
        {"failed": 1500, "answered": 2000, "seconds": 300.0},
    )


def test_it_opens_and_resolves():
    story = Story('checks.js_api_error_rate_high.window = "1m"', checks=[check])
    failing = [(200 * number, 200 * number) for number in range(4)]
    told = [story.hears(counts(one), after=60.0) for one in [*failing, *3 * [(600, 600)]]]
    opened, resolved = ["opened JETSTREAM_009 C1 n1"], ["resolved JETSTREAM_009 C1 n1"]
    assert told == [[], [], opened, [], [], resolved, []]
