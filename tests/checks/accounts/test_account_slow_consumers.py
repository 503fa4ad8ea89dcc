"""ACCOUNTS_002: servers cut off clients of an account that read too slowly."""

from __future__ import annotations

import pytest

from nats_insights.checks.accounts.account_slow_consumers import account_slow_consumers as check
from nats_insights.judge.declare import CRITICAL, WARNING
from nats_insights.replies.statz import AccountStat, Statz
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
    system,
    then,
)


def counting(slow: int, connections: int = 1, account: str = "APP") -> Server:
    """A server that counted so many slow consumers of an account."""
    told = AccountStat(acc=account, conns=connections, slow_consumers=slow)
    return Server(connections, replies={"STATZ": Statz(account_statz=[told])})


def at(n1: int, n2: int, connections: int = 1) -> System:
    return system(cluster(n1=counting(n1, connections), n2=counting(n2, connections)))


def counts(*counted: tuple[int, int], every: float = 30.0) -> Epochs:
    """What two servers counted in each epoch."""
    return then(*(at(n1, n2) for n1, n2 in counted), every=every)


CASES = {
    "fires for one slow consumer": (counts((0, 0), (1, 0)), {"APP"}),
    "fires where there were some before": (counts((7, 9), (7, 10)), {"APP"}),
    "quiet where there were some before and no more": (counts((7, 9), (7, 9)), set()),
    "quiet in the first epoch": (at(7, 9), set()),
    "fires for five minutes": (counts((0, 0), (1, 0), *9 * [(1, 0)]), {"APP"}),
    "quiet after that": (counts((0, 0), (1, 0), *10 * [(1, 0)]), set()),
    "quiet after a restart of a server that had counted some": (
        counts((7, 9), (0, 9)),
        set(),
    ),
    "fires for what is counted since a restart": (counts((7, 9), (2, 9)), {"APP"}),
    "quiet about a server that comes with what it counted": (
        then(system(cluster(n1=counting(0))), at(0, 9)),
        set(),
    ),
    "quiet about a server that hung and counted nothing": (
        then(at(0, 9), system(cluster(n1=counting(0), n2=hung)), at(0, 9)),
        set(),
    ),
    "fires for what a server counted while it hung": (
        then(at(0, 9), system(cluster(n1=counting(0), n2=hung)), at(0, 10)),
        {"APP"},
    ),
    "quiet while a server hangs that may have counted some": (
        then(at(0, 9), system(cluster(n1=counting(0), n2=hung))),
        set(),
    ),
    "fires whatever a silent server counted": (
        then(
            system(cluster(n1=counting(0), n2=counting(9), n3=counting(0))),
            system(cluster(n1=counting(1), n2=dead, n3=counting(0))),
        ),
        {"APP"},
    ),
    "fires for an account whose only client was cut off": (
        then(at(0, 0), at(1, 0, connections=0)),
        {"APP"},
    ),
    "quiet about another account": (
        then(
            system(cluster(n1=counting(0), n2=counting(5, account="B"))),
            system(cluster(n1=counting(0), n2=counting(5, account="B"))),
        ),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("counted", "severity", "threshold"), [(9, WARNING, 1), (10, CRITICAL, 10)]
)
def test_it_is_critical_from_ten(counted, severity, threshold):
    said = finding(check, counts((0, 0), (4, counted - 4)))
    assert (said.value, said.severity, said.threshold) == (counted, severity, threshold)


def test_it_says_how_many_and_where():
    said = finding(check, counts((1, 0), (1, 2), (2, 2)))
    assert (said.summary, said.value, said.unit, said.evidence) == (
        "3 slow consumers of account APP in the last 60 s",
        3,
        "slow consumers",
        {"since_start": {"top": [["n1", 2], ["n2", 2]], "left_out": 0}, "seconds": 60.0},
    )


def test_it_resolves_when_there_are_no_more():
    story = Story("checks.account_slow_consumers.window = '1m'", [check])
    heard = [story.hears(at(n, 0)) for n in (0, 2, 2, 2, 2)]
    assert heard == [[], ["opened ACCOUNTS_002 APP"], [], ["resolved ACCOUNTS_002 APP"], []]


def test_the_profile_insights_is_critical_at_once():
    story = Story('profile = "insights"', [check])
    story.hears(counts((0, 0), (1, 0)))
    assert [one.severity for one in story.audit.found.values()] == [CRITICAL]
