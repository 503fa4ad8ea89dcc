"""CHANGE_003: accounts were added to a server or removed from it."""

from __future__ import annotations

import pytest

from nats_insights.checks.change.accounts_changed import accounts_changed as check
from nats_insights.replies.accountz import Accountz
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)

KEY = "A" + 55 * "B"  # What an account with a JWT is called.
OFTEN = "gather.every.ACCOUNTZ = 0.0\n"  # Else ACCOUNTZ is requested once in five minutes.


def listing(*names: str, **more: object) -> Server:
    """A server that lists these accounts."""
    return Server(5, replies={"ACCOUNTZ": Accountz(accounts=[*names])}, **more)


def both(*names: str) -> System:
    return system(cluster(n1=listing(*names), n2=listing(*names)))


FEW, MORE = both("$G", "SYS", "APP"), both("$G", "SYS", "NEW", "APP")
CASES = {
    "fires where one was added": (then(FEW, MORE), {"C1 n1", "C1 n2"}),
    "fires where one was removed": (then(MORE, FEW), {"C1 n1", "C1 n2"}),
    "fires where one got another name": (
        then(both("OLD"), both("NEW")),
        {"C1 n1", "C1 n2"},
    ),
    "fires on the server that changed": (
        then(
            system(cluster(n1=listing("A"), n2=listing("A"))),
            system(cluster(n1=listing("A"), n2=listing("A", "B"))),
        ),
        {"C1 n2"},
    ),
    "quiet where only the order differs": (then(both("A", "B"), both("B", "A")), set()),
    "quiet in the first epoch": (MORE, set()),
    "fires nearly 15 minutes after it": (
        then(FEW, *4 * [MORE], every=299),
        {"C1 n1", "C1 n2"},
    ),
    "quiet after more": (then(FEW, *5 * [MORE], every=300), set()),
    "quiet where an account with a JWT is loaded": (
        then(FEW, both("$G", "SYS", "APP", KEY)),
        set(),
    ),
    "quiet where a server hung meanwhile": (
        then(FEW, system(cluster(n1=listing("$G", "SYS", "APP"), n2=hung)), FEW),
        set(),
    ),
    "quiet about a server that joins with accounts of its own": (
        then(
            system(cluster(n1=listing("A"))),
            system(cluster(n1=listing("A")), lone(edge=listing("EDGE"))),
        ),
        set(),
    ),
    "fires for what a restart changed": (
        then(system(lone(n1=listing("A"))), system(lone(n1=listing("A", "B", id="anew", up=5)))),
        {"n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given, OFTEN) == expected


@pytest.mark.parametrize(("within", "expected"), [("29s", set()), ("30s", {"n1"})])
def test_its_parameter_can_be_set(within, expected):
    given = then(*(system(lone(n1=listing(*names))) for names in ("A", "AB", "AB")))
    config = f"{OFTEN}checks.accounts_changed.within = {within!r}"
    assert found(check, given, config) == expected


def test_it_says_which():
    before = listing("OLD", *(f"T{number:02}" for number in range(12)))
    given = then(system(lone(n1=before)), *2 * [system(lone(n1=listing("NEW")))], every=300)
    said = finding(check, given)
    assert (said.summary, said.value, said.threshold, said.unit) == (
        "the accounts of n1 changed 300 s ago: 1 added, 13 removed",
        300.0,
        900.0,
        "s",
    )
    removed = ["OLD", *(f"T{number:02}" for number in range(9))]
    assert said.evidence == {"added": ["NEW"], "removed": removed, "accounts": 1}


def test_it_is_told_for_a_while_and_a_lost_reply_removes_nothing():
    story = Story(f'{OFTEN}lifecycle.remind_every = "1d"', [check])
    lost = {1: [("n1", "ACCOUNTZ")]}
    looks = [FEW, *6 * [MORE]]
    told = [story.hears(one, lost.get(n, []), after=300) for n, one in enumerate(looks)]
    assert told == [
        [],
        ["opened CHANGE_003 C1 n2"],
        ["opened CHANGE_003 C1 n1"],
        [],
        [],
        ["resolved CHANGE_003 C1 n2"],
        ["resolved CHANGE_003 C1 n1"],
    ]


def test_a_change_of_all_servers_is_one_finding():
    names = [f"n{number}" for number in range(5)]
    story = Story(OFTEN, [check])
    for accounts in ("A", "AB"):
        told = story.hears(system(cluster(**{name: listing(*accounts) for name in names})))
    assert told == ["opened CHANGE_003 system"]
