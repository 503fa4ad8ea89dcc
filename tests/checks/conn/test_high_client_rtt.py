"""CONN_001: clients of an account are far away from their servers."""

from __future__ import annotations

import pytest

from nats_insights.checks.conn.high_client_rtt import high_client_rtt as check
from nats_insights.testing import Server, Story, cluster, finding, found, hung, row, system


def far(*rtts: str, account: str = "APP") -> Server:
    """A server with 20 clients that are near, and others with these round-trip times."""
    near = [row(rtt="312µs", name="near") for _ in range(20)]
    return Server(rows=(*near, *(row(rtt=rtt, account=account, name="far") for rtt in rtts)))


CASES = {
    "fires above half a second": (system(cluster(n1=far(*3 * ["501ms"]), n2=20)), {"APP"}),
    "quiet at half a second": (system(cluster(n1=far(*9 * ["500ms"]), n2=20)), set()),
    "quiet about two clients, unlike the rule that judges each": (
        system(cluster(n1=far("2s"), n2=far("1m2s"))),
        set(),
    ),
    "quiet about clients on another continent": (
        system(cluster(n1=far(*9 * ["350.25ms"]), n2=20)),
        set(),
    ),
    "quiet before it was measured": (system(cluster(n1=far(*9 * ["0s"]), n2=20)), set()),
    "fires for clients on several servers together": (
        system(cluster(n1=far("2s"), n2=far("1m2s"), n3=far("800ms"))),
        {"APP"},
    ),
    "quiet about three accounts with one client each": (
        system(cluster(n1=far("2s"), n2=far("2s", account="B"), n3=far("2s", account="C"))),
        set(),
    ),
    "quiet about leaf nodes": (
        system(cluster(n1=Server(20, rows=3 * (row(kind="Leafnode", rtt="2s"),)))),
        set(),
    ),
    "fires on what is seen, though a server hangs": (
        system(cluster(n1=far(*3 * ["2s"]), n2=hung)),
        {"APP"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "max_rtt = '2s'": set(),
    "max_rtt = '1999ms'": {"APP"},
    "clients = 5": set(),
    "clients = 4": {"APP"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.high_client_rtt]\n{setting}"
    assert found(check, system(cluster(n1=far(*4 * ["2s"]))), config) == expected


def test_one_client_beyond_100_ms_is_found_in_the_profile_of_the_catalogue():
    assert found(check, system(cluster(n1=far("101ms"))), 'profile = "insights"') == {"APP"}
    assert not found(check, system(cluster(n1=far("100ms"))), 'profile = "insights"')


def test_it_says_who_is_far_away_and_from_where():
    said = finding(check, system(cluster("EU", n1=far("700ms", "900.5ms"), n2=far("1m2.5s"))))
    assert (said.summary, said.value, said.threshold, said.unit, said.servers) == (
        "3 clients of account APP have a high round-trip time, up to 62.5 s",
        62.5,
        0.5,
        "s",
        ("n2", "n1"),
    )
    told = [(one["server"], one["name"], one["rtt"]) for one in said.evidence["connections"]["top"]]
    assert told == [("n2", "far", 62.5), ("n1", "far", 0.9005), ("n1", "far", 0.7)]


# The round-trip times in each look, and what is published.
SLOW, EASED, FAST = 3 * ["600ms"], 3 * ["450ms"], 3 * ["400ms"]
LIVES = {
    "opened in the second look": ([SLOW, SLOW, SLOW], ["", "opened", ""]),
    "quiet about one look": ([SLOW, FAST, SLOW, FAST], ["", "", "", ""]),
    "open until well below": (
        [SLOW, SLOW, EASED, FAST, FAST],
        ["", "opened", "", "", "resolved"],
    ),
}


@pytest.mark.parametrize(("rtts", "expected"), LIVES.values(), ids=LIVES)
def test_its_life(rtts, expected):
    story = Story(checks=[check])
    told = [story.hears(system(cluster(n1=far(*one))), after=600.0) for one in rtts]
    assert [" ".join(said.split()[0] for said in epoch) for epoch in told] == expected


def test_the_clients_of_others_do_not_hide_one():
    story = Story("checks.high_client_rtt.open_after = 1", [check])
    crowd = far(*3 * ["600ms"]).rows + far(*16 * ["9s"], account="B").rows
    assert story.hears(system(cluster(n1=far(*3 * ["600ms"])))) == ["opened CONN_001 APP"]
    for _ in range(3):
        told = story.hears(system(cluster(n1=Server(rows=crowd))), after=600.0)
        assert "resolved CONN_001 APP" not in told
    assert story.audit.unknown == {("CONN_001", ("APP",)): "CONNZ_RTT_16_600 in full of n1"}
