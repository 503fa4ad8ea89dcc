"""CONN_901: most clients of an account have no name."""

from __future__ import annotations

from pathlib import Path

import pytest

from nats_insights.checks.conn.unnamed_clients import unnamed
from nats_insights.checks.conn.unnamed_clients import unnamed_clients as check
from nats_insights.model.fold import Sweep, row_fields
from nats_insights.replies.connz import PageDecoder
from nats_insights.testing import Server, Story, System, cluster, finding, found, hung, row, system


def clients(named: int, unnamed: int, **fields) -> System:
    """A cluster with so many clients of account APP; those without a name are on one server."""
    rows = tuple(row(name="", **fields) for _ in range(unnamed))
    return system(cluster(n1=named, n2=Server(rows=rows)))


CASES = {
    "fires when half of a hundred have no name": (clients(50, 50), {"APP"}),
    "quiet when more than half have one": (clients(51, 50), set()),
    "quiet about 49": (clients(0, 49), set()),
    "fires at 50": (clients(0, 50), {"APP"}),
    "quiet about MQTT clients, which have an id": (clients(0, 99, mqtt_client="id"), set()),
    "fires about WebSocket clients": (clients(0, 50, type="websocket"), {"APP"}),
    "quiet about leaf nodes": (clients(0, 99, kind="Leafnode"), set()),
    "quiet about the system account": (clients(0, 99, account="$SYS"), set()),
    "fires for one account only": (
        system(cluster(n1=99, n2=Server(rows=50 * (row(name="", account="B"),)))),
        {"B"},
    ),
    "quiet while a server is silent, whose clients may have names": (
        system(cluster(n1=Server(rows=50 * (row(name=""),)), n2=hung)),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "percent = 61": set(),
    "percent = 60": {"APP"},
    "connections = 61": set(),
    "connections = 60": {"APP"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    assert found(check, clients(40, 60), f"[checks.unnamed_clients]\n{setting}") == expected


def test_it_says_how_many():
    said = finding(check, clients(500, 1500))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "1,500 of 2,000 connections of account APP have no name",
        75.0,
        50.0,
        "%",
        {"unnamed": 1500, "connections": 2000},
    )


def test_clients_that_came_after_the_account_statistics_are_no_more_than_all():
    statz = {"account_statz": [{"acc": "APP", "conns": 50}]}
    rows = 60 * (row(name=""),)
    said = finding(check, system(cluster(n1=Server(rows=rows, replies={"STATZ": statz}))))
    assert (said.value, said.evidence["connections"]) == (100.0, 60)


def test_its_life_from_survey_to_survey():
    story = Story(checks=[check])
    counts = ((60, 60), (75, 51), (76, 50))
    told = [story.hears(clients(*count), after=14_400.0) for count in counts]
    assert told == [
        ["opened CONN_901 APP"],
        ["updated CONN_901 APP"],
        ["resolved CONN_901 APP"],
    ]


RECORDED = Path(__file__).parents[2] / "replies" / "recorded"


@pytest.mark.parametrize("version", ["2.10.26", "2.15.1"])
def test_clients_of_each_kind_are_counted_as_real_servers_list_them(version):
    page = (RECORDED / version / "CONNZ_auth_kinds.json").read_bytes()
    sweep = Sweep({unnamed: None}, frozenset({"SYS"}))
    sweep.page(PageDecoder(row_fields([unnamed])).decode(page))
    # All have a name: also the WebSocket client, and the MQTT client by its id.
    assert sweep.parts[unnamed] == {}
