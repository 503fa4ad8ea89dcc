"""JETSTREAM_004: a server answers very many JetStream API requests."""

from __future__ import annotations

import pytest

from nats_insights.checks.jetstream.js_api_rate_high import js_api_rate_high as check
from nats_insights.testing import (
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


def counting(total: int) -> Server:
    return Server(varz={"jetstream": {"stats": {"api": {"total": total}}}})


IDLE = counting(0)


def counts(*totals: int, every: float = 60.0) -> Epochs:
    """A server that has answered so many requests in each epoch."""
    return then(*(system(cluster(n1=counting(one), n2=IDLE)) for one in totals), every=every)


CASES = {
    "fires at 500 per second": (counts(1000, 31_000), {"C1 n1"}),
    "quiet at just fewer": (counts(1000, 30_999), set()),
    "quiet where a storm has ended": (counts(0, 90_000, 90_000), set()),
    "quiet after many in a long time": (counts(10**9, 10**9), set()),
    "quiet after a restart": (counts(10**9, 29_999), set()),
    "fires where it is as many since a restart": (counts(10**9, 30_000), {"C1 n1"}),
    "quiet where its reply was lost for a while": (
        then(
            system(cluster(n1=counting(0), n2=IDLE)),
            *3 * [system(cluster(n1=hung, n2=IDLE))],
            system(cluster(n1=counting(119_000), n2=IDLE)),
            every=60.0,
        ),
        set(),
    ),
    "quiet until it is a minute": (counts(0, 90_000, every=50.0), set()),
    "quiet in the first epoch": (system(lone(n1=counting(90_000))), set()),
    "quiet without JetStream": (
        then(*2 * [system(lone(n1=Server(varz={"jetstream": {}})))]),
        set(),
    ),
    "fires on a server without a cluster": (
        then(system(lone(n1=counting(0))), system(lone(n1=counting(30_000))), every=60.0),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(
            system(cluster(n1=counting(0), n2=IDLE)),
            system(cluster(n1=counting(30_000), n2=hung)),
            every=60.0,
        ),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "per_second = 500.1": set(),
    "per_second = 500.0": {"C1 n1"},
    'window = "2m"': set(),
    'window = "2m"\nper_second = 250.0': {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = counts(0, 0, 30_000)
    assert found(check, given, f"[checks.js_api_rate_high]\n{setting}") == expected


def test_it_says_how_many():
    said = finding(check, counts(1000, 37_000))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 answered 600 JetStream API requests per second in the last 60 s",
        600.0,
        500.0,
        "/s",
        {"since_start": 37_000, "seconds": 60.0},
    )


def test_clients_that_start_together_are_no_finding_and_a_storm_opens_and_resolves():
    story = Story(checks=[check])
    busy = [30_000 * number for number in range(7)]
    totals = [*3 * [0], 60_000, *4 * [60_000], *(60_000 + one for one in busy), *3 * [240_000]]
    told = [story.hears(counts(total), after=30.0) for total in totals]
    opened = told.index(["opened JETSTREAM_004 C1 n1"])
    assert opened >= 8 + 5
    assert [one for one in told[opened + 1 :] if one] == [["resolved JETSTREAM_004 C1 n1"]]
