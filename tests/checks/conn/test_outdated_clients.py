"""CONN_902: clients use a library that is far behind the newest one of its language."""

from __future__ import annotations

import pytest

from nats_insights.checks.conn.outdated_clients import outdated_clients as check
from nats_insights.replies.connz import Connection
from nats_insights.testing import Server, Story, System, cluster, finding, found, hung, row, system


def use(count: int, version: str, lang: str = "go") -> tuple[Connection, ...]:
    return count * (row(lang=lang, version=version),)


def clients(*rows: Connection) -> System:
    """A cluster whose clients are shared by two servers."""
    return system(cluster(n1=Server(rows=rows[::2]), n2=Server(rows=rows[1::2])))


NEW = use(10, "1.47.0")
CASES = {
    "fires at twenty minor versions": (clients(*NEW, *use(10, "1.27.9")), {"system"}),
    "quiet at nineteen": (clients(*NEW, *use(99, "1.28.0")), set()),
    "fires at a major version": (clients(*use(10, "2.0.0"), *use(10, "1.99.0")), {"system"}),
    "quiet about nine connections": (clients(*NEW, *use(9, "1.2.3")), set()),
    "fires for several versions and languages together": (
        clients(
            *NEW,
            *use(4, "1.2.3"),
            *use(3, "1.3.0"),
            *use(10, "3.0.0", "nats.js"),
            *use(3, "2.9.9", "nats.js"),
        ),
        {"system"},
    ),
    "quiet where nine have what is newest": (
        clients(*use(9, "2.0.0"), *use(99, "1.2.3")),
        set(),
    ),
    "fires where ten have it, in several patches": (
        clients(*use(5, "2.0.0"), *use(5, "2.0.1"), *use(10, "1.2.3")),
        {"system"},
    ),
    "quiet about other languages": (
        clients(*use(99, "9.0.0", "python3"), *use(99, "1.2.3")),
        set(),
    ),
    "fires where text would put 9 after 10": (
        clients(*use(10, "1.30.0"), *use(10, "1.9.0")),
        {"system"},
    ),
    "quiet about what is no version": (
        clients(*NEW, *use(99, ""), *use(99, "dev"), *use(99, "1"), *use(99, "x1.2.3")),
        set(),
    ),
    "fires for versions with a suffix or a letter": (
        clients(*use(10, "v2.0.0-beta.1"), *use(10, "1.0")),
        {"system"},
    ),
    "quiet about clients without a language": (
        clients(*use(10, "2.0.0", ""), *use(10, "1.0.0", "")),
        set(),
    ),
    "quiet while a server is silent": (
        system(cluster(n1=Server(rows=(*NEW, *use(10, "1.2.3"))), n2=hung)),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "minors = 31": set(),
    "minors = 30": {"system"},
    "connections = 11": set(),
    "connections = 10": {"system"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = clients(*use(10, "1.47.0"), *use(10, "1.17.0"))
    assert found(check, given, f"[checks.outdated_clients]\n{setting}") == expected


def test_a_major_version_may_be_allowed():
    given, config = clients(*use(10, "3.0.0"), *use(10, "2.0.0")), "[checks.outdated_clients]\n"
    assert found(check, given, f"{config}majors = 1") == {"system"}
    assert found(check, given, f"{config}majors = 2") == set()


def test_it_says_which_and_how_many():
    said = finding(
        check, clients(*use(20, "1.47.0"), *use(7, "1.2.3"), *use(8, "1.2.4"), *use(1, "0.9.0"))
    )
    assert (said.summary, said.value, said.threshold, said.unit) == (
        "16 connections use a client library that is far behind the newest here, most of them "
        "go 1.2.4",
        16,
        10,
        "connections",
    )
    assert said.evidence == {
        "libraries": {
            "top": [["go 1.2.4", 8], ["go 1.2.3", 7], ["go 0.9.0", 1]],
            "left_out": 0,
        },
        "newest": {"go": "1.47"},
    }


def test_long_names_of_languages_and_versions_are_cut():
    given = clients(*use(10, "2.0.0", 99 * "x"), *use(10, "1.0.0" + 99 * "y", 99 * "x"))
    (name, _), *_ = finding(check, given).evidence["libraries"]["top"]
    assert name == f"{32 * 'x'} 1.0.0{27 * 'y'}"


def test_its_life_from_survey_to_survey():
    story = Story(checks=[check])
    told = [story.hears(clients(*NEW, *use(old, "1.2.3")), after=14_400.0) for old in (10, 8, 7, 7)]
    assert [" ".join(said.split()[:1]) for one in told for said in one] == [
        "opened",
        "updated",
        "resolved",
    ]
