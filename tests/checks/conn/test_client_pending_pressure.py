"""CONN_002: a server holds messages back for clients that do not read them."""

from __future__ import annotations

import pytest

from nats_insights.checks.conn.client_pending_pressure import client_pending_pressure as check
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    row,
    system,
)

MIB = 1024 * 1024


def slow(*pending: int, account: str = "APP") -> Server:
    """A server with 20 clients that read, and others for which it holds so many bytes."""
    rows = [row(pending_bytes=held, account=account, name="slow", ip="::1") for held in pending]
    return Server(20, rows=tuple(rows))


CASES = {
    "fires above 1 MiB": (system(cluster(n1=slow(MIB + 1), n2=20)), {"APP"}),
    "quiet at 1 MiB": (system(cluster(n1=slow(MIB), n2=20)), set()),
    "quiet where many have a little": (system(cluster(n1=slow(*20 * [MIB // 2]), n2=20)), set()),
    "fires once for clients on several servers": (
        system(cluster(n1=slow(2 * MIB), n2=slow(3 * MIB)), lone(n3=slow(4 * MIB))),
        {"APP"},
    ),
    "fires for each account": (
        system(cluster(n1=slow(2 * MIB), n2=slow(2 * MIB, account="B"))),
        {"APP", "B"},
    ),
    "quiet about the system account": (system(cluster(n1=slow(2 * MIB, account="$SYS"))), set()),
    "quiet about leaf nodes": (
        system(cluster(n1=Server(20, rows=(row(kind="Leafnode", pending_bytes=2 * MIB),)))),
        set(),
    ),
    "fires on what is seen, though a server hangs": (
        system(cluster(n1=slow(2 * MIB), n2=hung)),
        {"APP"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {"max_bytes = 3000000": set(), "max_bytes = 2000000": {"APP"}}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.client_pending_pressure]\n{setting}"
    assert found(check, system(cluster(n1=slow(2 * MIB))), config) == expected


def test_it_says_who_is_slow_and_where():
    said = finding(check, system(cluster("EU", n1=slow(2 * MIB, 5 * MIB), n2=slow(3 * MIB))))
    assert (said.summary, said.value, said.threshold, said.unit, said.servers) == (
        "n1 holds 5,242,880 bytes for a client of account APP, the slowest of 3",
        5 * MIB,
        MIB,
        "bytes",
        ("n1", "n2"),
    )
    first, second, third = said.evidence["connections"]["top"]
    assert first == {
        "cid": 2,
        "name": "slow",
        "ip": "::1",
        "server": "n1",
        "cluster": "EU",
        "account": "APP",
        "user": "app",
        "pending_bytes": 5 * MIB,
    }
    assert (second["server"], third["server"]) == ("n2", "n1")


def test_ten_clients_are_named_and_the_others_counted():
    said = finding(check, system(cluster(n1=slow(*15 * [2 * MIB]), n2=slow(2 * MIB))))
    assert said.summary.endswith(", the slowest of 16")
    named = said.evidence["connections"]
    assert (len(named["top"]), named["left_out"]) == (10, 6)


# What is held for one client in each look, and what is told.
LIVES = {
    "opened in the second look": ([2 * MIB, 2 * MIB, 2 * MIB], ["", "opened", ""]),
    "quiet about a burst": ([2 * MIB, 0, 2 * MIB, 0], ["", "", "", ""]),
    "held above half of the limit": ([2 * MIB, 2 * MIB, 600_000, 0], ["", "opened", "updated", ""]),
    "resolved below that": (
        [2 * MIB, 2 * MIB, 500_000, 500_000],
        ["", "opened", "", "resolved"],
    ),
}


@pytest.mark.parametrize(("held", "expected"), LIVES.values(), ids=LIVES)
def test_its_life(held, expected):
    story = Story(checks=[check])
    told = [story.hears(system(cluster(n1=slow(pending))), after=120.0) for pending in held]
    assert [" ".join(said.split()[0] for said in epoch) for epoch in told] == expected


def test_between_two_looks_nothing_is_asked_and_nothing_changes():
    story = Story(checks=[check])
    given = system(cluster(n1=slow(2 * MIB)))
    told = [story.hears(one, after=60.0) for one in (given, given, given, system(cluster(n1=9)))]
    assert told == [[], [], ["opened CONN_002 APP"], []]
    assert story.audit.outcomes["CONN_002"].not_due


def test_the_clients_of_others_do_not_hide_one():
    def crowded(own: int) -> System:
        rows = [row(pending_bytes=9 * MIB, account="B") for _ in range(16)]
        return system(cluster(n1=Server(rows=(*rows, row(pending_bytes=own)))))

    story = Story("checks.client_pending_pressure.open_after = 1", [check])
    assert story.hears(system(cluster(n1=slow(2 * MIB)))) == ["opened CONN_002 APP"]
    assert story.hears(crowded(2 * MIB), after=120.0) == ["opened CONN_002 B"]
    for _ in range(5):
        assert story.hears(crowded(2 * MIB), after=120.0) == []
    assert story.audit.unknown == {("CONN_002", ("APP",)): "CONNZ_PENDING in full of n1"}
