"""SERVER_008: a server crashed, or was killed, and runs again."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.unexpected_restart import unexpected_restart as check
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


def run(up: float, id: str = "second", **more: object) -> Server:
    """A server as it runs for so many seconds."""
    return Server(1, id=id, up=up, **more)


FIRST = run(9000, "first")
SELDOM = 'lifecycle.remind_every = "1d"'


def restarts(*ends: Server, up: float = 20, every: float = 30.0, **more: object) -> Epochs:
    """A server that runs again, after what was heard of it at the end of its first process."""
    servers = (FIRST, *ends, run(up, **more))
    return then(*(system(cluster(n1=one, n2=1, n3=1)) for one in servers), every=every)


CASES = {
    "fires where a server runs again within an epoch": (restarts(), {"C1 n1"}),
    "fires where it was dead before, however long": (restarts(*5 * [dead]), {"C1 n1"}),
    "fires where it hung before": (restarts(hung), {"C1 n1"}),
    "fires for an hour": (restarts(dead, up=3600, every=1800.0), {"C1 n1"}),
    "quiet after an hour": (restarts(dead, up=3600.1, every=1800.0), set()),
    "quiet where it was shut down": (restarts(left), set()),
    "quiet where it was in lame duck mode": (
        restarts(run(9000, "first", goodbye="lame duck")),
        set(),
    ),
    "quiet where it runs another version, as after an upgrade": (
        restarts(version="2.15.2"),
        set(),
    ),
    "quiet about a server that started": (system(cluster(n1=run(20))), set()),
    "quiet where it ran already while the other process replied": (
        then(system(cluster(n1=FIRST, n2=1)), system(cluster(n1=run(36), n2=1))),
        set(),
    ),
    "fires where it may have started right after that": (
        then(system(cluster(n1=FIRST, n2=1)), system(cluster(n1=run(35), n2=1))),
        {"C1 n1"},
    ),
    "quiet where its clock is all that changed": (
        then(system(cluster(n1=run(9000))), system(cluster(n1=run(20)))),
        set(),
    ),
    "fires on a server without a cluster": (
        then(system(lone(n1=FIRST)), system(lone(n1=run(20)))),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(system(cluster(n1=FIRST, n2=1)), system(cluster(n1=run(20), n2=hung))),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("within", "expected"), [("19s", set()), ("20s", {"C1 n1"})])
def test_its_parameter_can_be_set(within, expected):
    config = f'checks.unexpected_restart.within = "{within}"'
    assert found(check, restarts(), config) == expected


def test_it_says_when():
    said = finding(check, restarts(dead, dead, up=75))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 restarted 75 s ago without having announced its end",
        75.0,
        3600.0,
        "s",
        {"version": "2.15.1"},
    )


def test_it_is_told_for_an_hour():
    story = Story(SELDOM, checks=[check])
    servers = (FIRST, *(run(up) for up in (899, 1799, 2699, 3599, 4499)))
    heard = [story.hears(system(cluster(n1=one, n2=1)), after=900) for one in servers]
    assert heard == [[], ["opened SERVER_008 C1 n1"], [], [], [], ["resolved SERVER_008 C1 n1"]]


def test_a_restart_in_good_order_ends_it():
    story = Story(checks=[check])
    servers = (FIRST, run(20), run(50, goodbye="lame duck"), run(5, "third"))
    heard = [story.hears(system(cluster(n1=one, n2=1))) for one in servers]
    assert heard[1:] == [["opened SERVER_008 C1 n1"], [], ["resolved SERVER_008 C1 n1"]]


def test_a_lost_machine_room_is_one_finding():
    story = Story(checks=[check])
    story.hears(system(cluster(**{f"n{i}": run(9000, f"a{i}") for i in range(6)})))
    again = system(cluster(**{f"n{i}": run(20, f"b{i}") for i in range(6)}))
    assert story.hears(again) == ["opened SERVER_008 system"]
