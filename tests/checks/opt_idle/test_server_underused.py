"""OPT_IDLE_001: a server has had next to nothing to do for a long time."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_idle.server_underused import server_underused as check
from nats_insights.replies.jetstream import JetStream, Stats
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

# A look every five minutes, and an hour of them.
EVERY, LOOKS = 300.0, 13


def using(connections: int, cpu: float = 4.0, **varz: object) -> Server:
    """A server of two cores that uses so many percent of one."""
    return Server(connections, varz={"cpu": cpu, "cores": 2, "gomaxprocs": 2, **varz})


BUSY = using(50)


def hour(*looks: Server) -> Epochs:
    """An hour that ends with these looks, and in which the server was idle before."""
    idle = [using(9, 9.9)] * (LOOKS - len(looks))
    return then(*(system(cluster(n1=one, n2=BUSY)) for one in [*idle, *looks]), every=EVERY)


CASES = {
    "fires just below both limits": (hour(), {"C1 n1"}),
    "quiet with ten connections at one look": (hour(using(10), using(9)), set()),
    "quiet with 5 % of its cores at one look": (hour(using(9, 10.0), using(9)), set()),
    "quiet with ten leaf nodes": (hour(using(0, leafnodes=10), using(9)), set()),
    "fires with clients of the system account": (
        hour(Server(0, {"$SYS admin": 90}, varz={"cpu": 1.0, "cores": 2})),
        {"C1 n1"},
    ),
    "fires an hour after the last work": (
        then(
            system(lone(n1=BUSY)),
            *LOOKS * [system(lone(n1=using(9)))],
            every=EVERY,
        ),
        {"n1"},
    ),
    "quiet until it is an hour": (
        then(*(LOOKS - 2) * [system(lone(n1=using(0)))], every=EVERY),
        set(),
    ),
    "quiet where it keeps streams": (
        hour(using(0, jetstream=JetStream(stats=Stats(storage=1)))),
        set(),
    ),
    "fires where it keeps no streams": (
        hour(using(0, jetstream=JetStream(stats=Stats()))),
        {"C1 n1"},
    ),
    "quiet where it was not seen at one look": (
        then(
            *6 * [system(cluster(n1=using(0), n2=BUSY))],
            system(cluster(n1=hung, n2=BUSY)),
            *6 * [system(cluster(n1=using(0), n2=BUSY))],
            every=EVERY,
        ),
        set(),
    ),
    "quiet where it was not seen for half of the time": (
        then(
            *3 * [system(cluster(n1=using(0), n2=BUSY))],
            *6 * [system(cluster(n1=hung, n2=BUSY))],
            *4 * [system(cluster(n1=using(0), n2=BUSY))],
            every=EVERY,
        ),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "connections = 9": set(),
    "cpu_percent = 4.9": set(),
    'window = "70m"': set(),
    'window = "30m"': {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    assert found(check, hour(), f"[checks.server_underused]\n{setting}") == expected


def test_it_says_how_idle():
    said = finding(check, hour(using(3, 1.0)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 had 9 connections and used 5.0 % of its cores at most in 60 minutes",
        9,
        10,
        "connections",
        {"cpu_percent": 5.0, "minutes": 60.0},
    )


def test_it_opens_after_an_hour_and_resolves_with_the_first_work_beyond_its_eased_limit():
    story = Story(checks=[check])
    told = [story.hears(system(lone(n1=using(0))), after=EVERY) for _ in range(LOOKS)]
    assert [bool(one) for one in told].index(True) == LOOKS - 2  # Nine tenths of an hour will do.
    assert story.hears(system(lone(n1=using(14))), after=EVERY) == []
    assert story.hears(system(lone(n1=using(15))), after=EVERY) == ["resolved OPT_IDLE_001 n1"]


def test_it_is_excused_until_it_can_know():
    story = Story(checks=[check])
    story.hears(system(lone(n1=using(0))))
    story.hears(system(lone(n1=using(0))))
    outcome = story.audit.outcomes[check.code]
    assert (outcome.why, outcome.excused) == ("needs 1h of history", True)
