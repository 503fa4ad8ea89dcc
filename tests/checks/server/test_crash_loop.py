"""SERVER_009: a server starts again and again."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.crash_loop import crash_loop as check
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    cluster,
    dead,
    finding,
    found,
    hung,
    left,
    lone,
    system,
    then,
)


def run(number: int, up: float = 20) -> Server:
    """The process of this number, as it runs for so many seconds."""
    return Server(1, id=f"process {number}", up=up)


def starts(*servers: Server, every: float = 60.0) -> Epochs:
    return then(*(system(cluster(n1=one, n2=1, n3=1)) for one in servers), every=every)


FOUR = [run(number) for number in range(4)]
CASES = {
    "fires at three restarts": (starts(*FOUR), {"C1 n1"}),
    "quiet at two": (starts(*FOUR[:3], FOUR[2]), set()),
    "fires where it is dead in between": (starts(FOUR[0], dead, *FOUR[1:]), {"C1 n1"}),
    "fires where a probe ends it in good order": (
        starts(FOUR[0], left, FOUR[1], left, FOUR[2], left, FOUR[3]),
        {"C1 n1"},
    ),
    "fires within an hour": (starts(*FOUR, every=1199.0), {"C1 n1"}),
    "quiet where they are further apart": (starts(*FOUR, run(3, 1801), every=1800.0), set()),
    "quiet where all three are more than an hour ago": (
        starts(*FOUR, run(3, 3601), every=3600.0),
        set(),
    ),
    "quiet about two servers that take turns in one name": (
        starts(*(run(number % 2) for number in range(9))),
        set(),
    ),
    "quiet in the first epoch": (system(cluster(n1=run(1), n2=1)), set()),
    "fires on a server without a cluster": (then(*(system(lone(n1=one)) for one in FOUR)), {"n1"}),
    "fires though a peer hangs": (
        then(
            *(system(cluster(n1=one, n2=1)) for one in FOUR[:3]),
            system(cluster(n1=FOUR[3], n2=hung)),
        ),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "checks.crash_loop.restarts = 4": set(),
    "checks.crash_loop.restarts = 2": {"C1 n1"},
    "checks.crash_loop.window = '2m'": {"C1 n1"},
    "checks.crash_loop.window = '119s'": set(),
    "checks.crash_loop.window = '19s'": set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    assert found(check, starts(*FOUR), setting) == expected


def test_the_profile_insights_opens_at_the_third_process():
    assert found(check, starts(*FOUR[:3]), 'profile = "insights"') == {"C1 n1"}


def test_it_says_how_many():
    said = finding(check, starts(*FOUR))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 restarted 3 times in the last 3,600 s",
        3,
        3,
        "restarts",
        {"up_seconds": 20.0, "crashed": True},
    )


def test_it_opens_and_resolves_an_hour_later():
    story = Story('lifecycle.remind_every = "1d"', [check])
    servers = (*FOUR, run(3, 900), run(3, 3500), run(3, 3700))
    heard = [story.hears(system(cluster(n1=one, n2=1)), after=1100) for one in servers]
    opened, resolved = ["opened SERVER_009 C1 n1"], ["resolved SERVER_009 C1 n1"]
    assert heard == [[], [], [], opened, [], resolved, []]
