"""OPT_IDLE_007: clients of an account have never sent or received anything."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_idle.idle_clients import idle_clients as check
from nats_insights.testing import Server, Story, cluster, finding, found, hung, row, system

HOUR = "1h0m1s"


def idle(count: int, idle: str = HOUR, **fields) -> Server:
    """A server with so many clients that are idle for so long, and 20 that are busy."""
    busy = [row(idle="0s", in_msgs=7, out_msgs=7) for _ in range(20)]
    return Server(rows=(*(row(idle=idle, name="spare", **fields) for _ in range(count)), *busy))


CASES = {
    "fires when 20 were never used": (system(cluster(n1=idle(20))), {"APP"}),
    "quiet about 19, unlike the rule that judges each": (system(cluster(n1=idle(19))), set()),
    "quiet for an hour": (system(cluster(n1=idle(99, "1h0m0s"))), set()),
    "fires after days": (system(cluster(n1=idle(20, "1y2d3h4m5s"))), {"APP"}),
    "quiet about those that subscribe and wait": (
        system(cluster(n1=idle(99, subscriptions=1))),
        set(),
    ),
    "quiet about those that once sent": (system(cluster(n1=idle(99, in_msgs=1))), set()),
    "quiet about those that once received": (system(cluster(n1=idle(99, out_msgs=1))), set()),
    "quiet about leaf nodes": (system(cluster(n1=idle(99, kind="Leafnode"))), set()),
    "fires for several servers together": (system(cluster(n1=idle(10), n2=idle(10))), {"APP"}),
    "quiet about two accounts with few each": (
        system(cluster(n1=idle(19), n2=idle(19, account="B"))),
        set(),
    ),
    "quiet about the system account": (system(cluster(n1=idle(99, account="$SYS"))), set()),
    "fires on what is seen, though a server hangs": (
        system(cluster(n1=idle(20), n2=hung)),
        {"APP"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "idle = '1h1s'": set(),
    "idle = '1h'": {"APP"},
    "clients = 26": set(),
    "clients = 25": {"APP"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.idle_clients]\n{setting}"
    assert found(check, system(cluster(n1=idle(25))), config) == expected


def test_one_client_after_five_minutes_is_found_in_the_profile_of_the_catalogue():
    for told, expected in (("5m1s", {"APP"}), ("5m0s", set())):
        given = system(cluster(n1=idle(1, told)))
        assert found(check, given, 'profile = "insights"') == expected


def test_it_says_which_and_where():
    said = finding(check, system(cluster(n1=idle(15), n2=idle(10, "3h0m0s"))))
    assert (said.summary, said.value, said.threshold, said.unit, said.servers) == (
        "25 clients of account APP are connected and were never used",
        25,
        20,
        "clients",
        ("n2", "n1"),
    )
    named = said.evidence["connections"]
    assert (named["top"][0]["name"], named["top"][0]["idle"]) == ("spare", 10_800.0)
    assert (len(named["top"]), named["left_out"]) == (10, 15)


def test_it_looks_every_hour_and_stays_open_until_clearly_fewer():
    story = Story(checks=[check])
    told = [
        story.hears(system(cluster(n1=idle(count))), after=after)
        for count, after in ((20, 30), (20, 600), (16, 3000), (15, 3600))
    ]
    assert told == [
        ["opened OPT_IDLE_007 APP"],
        [],
        ["updated OPT_IDLE_007 APP"],
        ["resolved OPT_IDLE_007 APP"],
    ]
    assert not story.audit.outcomes["OPT_IDLE_007"].not_due


def test_a_server_with_many_more_hides_no_end():
    story = Story(checks=[check])
    assert story.hears(system(cluster(n1=idle(20)))) == ["opened OPT_IDLE_007 APP"]
    others = idle(64, "9h0m0s", account="B").rows + idle(20).rows
    for _ in range(3):
        told = story.hears(system(cluster(n1=Server(rows=others))), after=3600.0)
        assert "resolved OPT_IDLE_007 APP" not in told
    assert "in full of n1" in story.audit.unknown["OPT_IDLE_007", ("APP",)]
