"""CONN_903: a server refuses many logins."""

from __future__ import annotations

import pytest

from nats_insights.checks.conn.logins_refused import logins_refused as check
from nats_insights.testing import (
    Server,
    Story,
    System,
    closed,
    cluster,
    finding,
    found,
    hung,
    system,
)


def refused(count: int, ago: float = 60.0, reason: str = "Authentication Failure") -> Server:
    """A server that refused so many logins, each with a secret for a name."""
    row = closed(reason, ago, account="$G", authorized_user="secret", ip="10.0.0.7", name="cron")
    return Server(5, closed=count * (row,))


CASES = {
    "fires at 30": (system(cluster(n1=refused(30), n2=5)), {"C1 n1"}),
    "quiet at 29": (system(cluster(n1=refused(29), n2=5)), set()),
    "fires for each server": (system(cluster(n1=refused(30), n2=refused(30))), {"C1 n1", "C1 n2"}),
    "quiet about few on many": (system(cluster(n1=refused(29), n2=refused(29))), set()),
    "fires for a quarter of an hour": (system(cluster(n1=refused(30, 900.0))), {"C1 n1"}),
    "quiet after that": (system(cluster(n1=refused(30, 900.1))), set()),
    "quiet about tests of the port": (
        system(cluster(n1=refused(99, reason="TLS Handshake Failure"))),
        set(),
    ),
    "quiet about who says nothing": (
        system(cluster(n1=refused(99, reason="Authentication Timeout"))),
        set(),
    ),
    "quiet about connections that ended": (
        system(cluster(n1=refused(99, reason="Client Closed"))),
        set(),
    ),
    "fires though another server hangs": (
        system(cluster(n1=refused(30), n2=hung)),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {"refused = 41": set(), "refused = 40": {"C1 n1"}, "window = '59s'": set()}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.logins_refused]\n{setting}"
    assert found(check, system(cluster(n1=refused(40))), config) == expected


def test_it_says_from_where_and_by_which_name_but_not_as_whom():
    said = finding(check, system(cluster(n1=refused(31, 75.0))))
    assert (said.summary, said.value, said.threshold, said.unit) == (
        "n1 refused 31 logins in the last 75 s",
        31,
        30,
        "logins",
    )
    assert said.evidence["by_address"] == {"top": [["10.0.0.7", 31]], "left_out": 0}
    assert said.evidence["closed"]["top"][0]["name"] == "cron"
    assert "secret" not in str(said.evidence)


def test_its_life():
    def given(count: int) -> System:
        return system(cluster(n1=refused(count)))

    story = Story(checks=[check])
    told = [story.hears(given(count), after=600.0) for count in (30, 24, 23, 23)]
    assert told == [["opened CONN_903 C1 n1"], [], [], ["resolved CONN_903 C1 n1"]]
