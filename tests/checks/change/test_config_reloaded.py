"""CHANGE_001: a server reloaded its configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nats_insights.checks.change.config_reloaded import config_reloaded as check
from nats_insights.testing import (
    START,
    Server,
    Story,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
)


def reloaded(ago: float, up: float = 86_400.0) -> Server:
    """A server that loaded its configuration so many seconds ago."""
    at = datetime.fromtimestamp(START, UTC) - timedelta(seconds=ago)
    return Server(up=up, varz={"config_load_time": at.isoformat().replace("+00:00", "Z")})


def started(up: float = 86_400.0) -> Server:
    return reloaded(up, up)


STEADY = started()
CASES = {
    "fires right after a reload": (system(cluster(n1=reloaded(0), n2=STEADY)), {"C1 n1"}),
    "fires ten minutes after it": (system(cluster(n1=reloaded(600), n2=STEADY)), {"C1 n1"}),
    "quiet after more": (system(cluster(n1=reloaded(600.1), n2=STEADY)), set()),
    "quiet right after a start": (system(cluster(n1=started(5), n2=STEADY)), set()),
    "fires for a reload soon after a start": (
        system(cluster(n1=reloaded(5, up=7), n2=STEADY)),
        {"C1 n1"},
    ),
    "quiet where no time is told": (
        system(cluster(n1=Server(varz={"config_load_time": ""}), n2=STEADY)),
        set(),
    ),
    "fires on a server without a cluster": (system(lone(n1=reloaded(9))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=reloaded(9), n2=hung)), {"C1 n1"}),
    "fires by a clock that is ahead of itself": (
        system(cluster(n1=reloaded(-9), n2=STEADY)),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("within", "expected"), [("29s", set()), ("30s", {"C1 n1"})])
def test_its_parameters_can_be_set(within, expected):
    given = system(cluster(n1=reloaded(30), n2=STEADY))
    assert found(check, given, f"[checks.config_reloaded]\nwithin = {within!r}") == expected


def test_it_says_when():
    said = finding(check, system(cluster(n1=reloaded(90, up=200))))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 reloaded its configuration 90 s ago",
        90.0,
        600.0,
        "s",
        {"loaded": "2027-01-15T07:58:30Z", "started": "2027-01-15T07:56:40+00:00"},
    )


def test_nanoseconds_are_read():
    varz = {"config_load_time": "2027-01-15T07:58:30.123456789Z"}
    assert finding(check, system(lone(n1=Server(varz=varz)))).value == 89.9


def test_it_is_told_for_ten_minutes():
    story = Story(checks=[check])
    heard = [
        story.hears(system(cluster(n1=reloaded(ago), n2=STEADY))) for ago in (0, 300, 600, 601)
    ]
    assert heard == [["opened CHANGE_001 C1 n1"], [], [], ["resolved CHANGE_001 C1 n1"]]
    assert story.told[0].life.summary == "n1 reloaded its configuration 601 s ago"


def test_a_reload_of_all_servers_is_one_finding():
    all_of_them = {f"n{i}": reloaded(20 + i) for i in range(6)}
    story = Story(checks=[check])
    assert story.hears(system(cluster(**all_of_them))) == ["opened CHANGE_001 system"]
    assert story.told[0].life.summary == (
        "6 of 6 servers at once, such as: n0 reloaded its configuration 20 s ago"
    )
    later = {f"n{i}": reloaded(700 + i) for i in range(6)}
    assert story.hears(system(cluster(**later))) == ["resolved CHANGE_001 system"]
