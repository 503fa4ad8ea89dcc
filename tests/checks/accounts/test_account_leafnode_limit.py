"""ACCOUNTS_901: an account is about to reach its leaf node limit."""

from __future__ import annotations

import pytest

from nats_insights.check import CRITICAL, WARNING
from nats_insights.checks.accounts.account_leafnode_limit import account_leafnode_limit as check
from nats_insights.replies.statz import AccountStat, Statz
from nats_insights.testing import account as jwt
from nats_insights.testing import key as key_of
from scenario import Server, Story, cluster, finding, found, system

APP = key_of("APP")


def joined(*leafnodes: int, most: int = 10):
    """Servers with so many leaf nodes of an account that may have `most`."""
    return system(
        cluster(
            **{
                f"n{number}": Server(
                    accounts=jwt("APP", leaf=most),
                    replies={"STATZ": Statz(account_statz=[AccountStat(acc=APP, leafnodes=count)])},
                )
                for number, count in enumerate(leafnodes, 1)
            }
        )
    )


CASES = {
    "fires at 90 % of the limit": (joined(9), {APP}),
    "quiet below 90 %": (joined(8), set()),
    "fires at 901 of 1,000": (joined(901, most=1000), {APP}),
    "fires on the sum of all servers": (joined(3, 3, 3), {APP}),
    "quiet without a limit": (joined(500, most=-1), set()),
    "quiet where none are allowed": (joined(0, most=0), set()),
    "quiet where a small limit is used up": (joined(3, most=3), set()),
    "fires from a limit of 4 on": (joined(4, most=4), {APP}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("leafnodes", "severity"), [(9, WARNING), (10, CRITICAL)])
def test_it_is_critical_at_the_limit(leafnodes, severity):
    assert finding(check, joined(leafnodes)).severity == severity


def test_its_limits_can_be_set():
    one = "checks.account_leafnode_limit."
    assert found(check, joined(5), f"{one}warning = 50.0\n") == {APP}
    assert finding(check, joined(9), f"{one}critical = 90.0\n").severity == CRITICAL
    assert found(check, joined(3, most=3), f"{one}min_limit = 3\n") == {APP}


def test_it_says_where_they_are():
    said = finding(check, joined(4, 5))
    assert said.summary == "account APP holds 9 of 10 allowed leaf nodes"
    assert said.evidence == {
        "limit": 10,
        "by_server": {"top": [["n2", 5], ["n1", 4]], "left_out": 0},
    }


def test_it_opens_and_resolves():
    story = Story(checks=[check])
    told = [said for _ in range(6) for said in story.hears(joined(9))]
    told += [said for _ in range(6) for said in story.hears(joined(8))]
    assert told == [f"opened ACCOUNTS_901 {APP}", f"resolved ACCOUNTS_901 {APP}"]
