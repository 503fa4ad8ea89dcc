"""CLUSTER_006: a cluster suddenly has far more or far fewer connections."""

from __future__ import annotations

import pytest

from nats_insights.checks.cluster.connection_count_change import (
    connection_count_change as check,
)
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    System,
    cluster,
    dead,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)


def holding(connections: int, up: float = 86_400.0) -> Server:
    return Server(up=up, varz={"connections": connections})


def of(*held: int) -> System:
    return system(cluster(**{f"n{i}": holding(each) for i, each in enumerate(held, 1)}))


def lives(*epochs: System, every: float = 60.0) -> Epochs:
    return then(*epochs, every=every)


CASES = {
    "fires where 501 of 1,670 leave": (lives(of(835, 835), of(334, 835)), {"C1"}),
    "quiet where 500 leave": (lives(of(500, 500), of(0, 500)), set()),
    "fires where 501 more come": (lives(of(500, 500), of(1001, 500)), {"C1"}),
    "quiet where many come, but less than 30 %": (lives(of(5000, 5000), of(7999, 5000)), set()),
    "fires at 30 %": (lives(of(5000, 5000), of(8000, 5000)), {"C1"}),
    "fires where the first ones come": (lives(of(0, 0), of(501, 0)), {"C1"}),
    "quiet where clients move to another server": (
        lives(of(3000, 0, 0), of(0, 1500, 1500)),
        set(),
    ),
    "quiet where a server died and its clients moved": (
        lives(
            of(1000, 1000, 1000),
            *4 * [system(cluster(n1=holding(1500), n2=holding(1500), n3=dead))],
        ),
        set(),
    ),
    "quiet where a server with many joins": (
        lives(of(1000, 1000), of(1000, 1000, 1000)),
        set(),
    ),
    "quiet while a server hangs": (
        lives(of(1000, 1000), system(cluster(n1=holding(100), n2=hung))),
        set(),
    ),
    "quiet where a reply was lost": (
        lives(of(1000, 1000), system(cluster(n1=holding(1000), n2=hung)), of(1000, 1000)),
        set(),
    ),
    "quiet more than five minutes later": (
        lives(of(1000, 1000), *7 * [of(2000, 2000)]),
        set(),
    ),
    "quiet after a long pause": (lives(of(1000, 1000), of(3000, 1000), every=601.0), set()),
    "fires after a short one": (lives(of(1000, 1000), of(3000, 1000), every=600.0), {"C1"}),
    "quiet in the first epoch": (of(5000, 5000), set()),
    "quiet about a server without a cluster": (
        lives(system(lone(n1=holding(0))), system(lone(n1=holding(9000)))),
        set(),
    ),
    "fires in the cluster that changes": (
        lives(
            system(cluster("EU", a=holding(1000)), cluster("US", b=holding(1000))),
            system(cluster("EU", a=holding(1000)), cluster("US", b=holding(100))),
        ),
        {"US"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "percent = 50.1": set(),
    "percent = 50.0": {"C1"},
    "min_connections = 1000": set(),
    "min_connections = 999": {"C1"},
    'window = "1m"': set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = lives(of(1000, 1000), of(1000, 0), of(1000, 0))
    assert found(check, given, f"[checks.connection_count_change]\n{setting}") == expected


def test_it_says_how_many():
    said = finding(check, lives(of(1000, 1000), of(1900, 1000)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "the connections of C1 rose from 2,000 to 2,900 within 60 s",
        45.0,
        30.0,
        "%",
        {
            "before": 2000,
            "now": 2900,
            "seconds": 60.0,
            "servers_now": {"top": [["n1", 1900], ["n2", 1000]], "left_out": 0},
        },
    )
    fell = finding(check, lives(of(1000, 1000), of(100, 1000)))
    assert fell.summary == "the connections of C1 fell from 2,000 to 1,100 within 60 s"


def test_a_dip_is_no_finding_and_a_lasting_change_is_told_for_some_minutes():
    story = Story(checks=[check])
    totals = [4000, 1000, *12 * [4000], *14 * [1000]]
    told = [story.hears(of(total, 0)) for total in totals]
    opened = 14 + 1
    assert told[opened] == ["opened CLUSTER_006 C1"]
    ended = told.index(["resolved CLUSTER_006 C1"])
    assert 9 <= ended - opened <= 12
    assert sum(map(len, told)) == 2


def test_a_rolling_upgrade_is_no_finding():
    story = Story(checks=[check], settle=120.0)
    told = []
    for restarted in range(3):
        for age in range(0, 300, 30):
            held = [1500, 1500, 1500]
            held[restarted] = 0 if age < 120 else 10
            ups = [86_400.0 if one != restarted else float(age) for one in range(3)]
            servers = {f"n{i}": holding(held[i], ups[i]) for i in range(3)}
            told += story.hears(system(cluster(**servers)))
    assert told == []
