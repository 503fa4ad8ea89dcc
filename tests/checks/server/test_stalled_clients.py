"""SERVER_013: a server holds up clients that publish to slow ones."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.stalled_clients import stalled_clients as check
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)


def at(stalls: int, n2: Server | int = 1) -> System:
    return system(cluster(n1=Server(1, varz={"stalled_clients": stalls}), n2=n2))


def counts(*stalls: int, every: float = 150.0) -> Epochs:
    return then(*(at(count) for count in stalls), every=every)


CASES = {
    "fires at twenty pauses per second": (counts(5, 4000, 6005), {"C1 n1"}),
    "quiet at fewer": (counts(5, 4000, 6004), set()),
    "quiet before five minutes have passed": (counts(5, 9000), set()),
    "quiet about what was counted before": (counts(*3 * [90_000]), set()),
    "quiet where none was counted": (counts(0, 0, 0), set()),
    "quiet after a restart": (counts(90_000, 0, 100), set()),
    "quiet about a server that does not tell": (
        then(*3 * [system(lone(n1=Server(9, version="2.11.11")))], every=150.0),
        set(),
    ),
    "fires on a server without a cluster": (
        then(
            *(system(lone(n1=Server(1, varz={"stalled_clients": n}))) for n in (1, 1, 9001)),
            every=150.0,
        ),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(at(0), at(0), at(9000, hung), every=150.0),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "per_second = 30.1": set(),
    "per_second = 30.0": {"C1 n1"},
    "window = '150s'\nper_second = 0.1": set(),
    "window = '600s'": set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = counts(0, 9000, 9000)
    assert found(check, given, f"[checks.stalled_clients]\n{setting}") == expected


def test_the_profile_insights_finds_a_single_one():
    assert found(check, counts(0, 0, 1), 'profile = "insights"') == {"C1 n1"}


def test_it_says_how_many():
    said = finding(check, counts(9, 99, 9009))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 held up publishers 30.0 times per second in the last 300 s",
        30.0,
        20.0,
        "/s",
        {"since_start": 9009},
    )


def test_it_is_unknown_of_a_server_that_does_not_tell():
    story = Story(checks=[check])
    story.hears(system(lone(n1=Server(9, version="2.11.11"))))
    outcome = story.audit.outcomes[check.code]
    assert (outcome.why, outcome.excused) == ("stalled_clients of n1: not told by 2.11.11", True)


def test_an_open_finding_ends_well_below_its_limit():
    story = Story(checks=[check])
    totals = (0, 3000, 6000, 8600, 11_000, 13_000, 15_000)
    heard = [story.hears(at(total), after=150) for total in totals]
    assert [line for lines in heard for line in lines] == [
        "opened SERVER_013 C1 n1",
        "resolved SERVER_013 C1 n1",
    ]
    assert (heard[2], heard[6]) == (["opened SERVER_013 C1 n1"], ["resolved SERVER_013 C1 n1"])
