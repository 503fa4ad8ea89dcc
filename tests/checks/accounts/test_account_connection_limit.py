"""ACCOUNTS_001: an account is about to reach its connection limit."""

from __future__ import annotations

import pytest

from nats_insights.check import CRITICAL, WARNING
from nats_insights.checks.accounts.account_connection_limit import (
    account_connection_limit as check,
)
from nats_insights.replies.statz import AccountStat, Statz
from nats_insights.testing import account as jwt
from nats_insights.testing import key as key_of
from scenario import Server, Story, cluster, finding, found, hung, system

APP, OTHER = key_of("APP"), key_of("OTHER")


def holding(*clients: int, most: int = 100, **more):
    """Servers with so many clients of an account that may have `most`."""
    servers = {
        f"n{number}": Server(users={f"{APP} app": count}, accounts=jwt("APP", conn=most))
        for number, count in enumerate(clients, 1)
    }
    return system(cluster(**(servers | more)))


def with_leafs(*stats: tuple[int, int]):
    """Servers with so many clients and leaf nodes of an account that may have 100."""
    return system(
        cluster(
            **{
                f"n{number}": Server(
                    accounts=jwt("APP", conn=100),
                    replies={
                        "STATZ": Statz(
                            account_statz=[
                                AccountStat(acc=APP, name="APP", conns=clients, leafnodes=leafs)
                            ]
                        )
                    },
                )
                for number, (clients, leafs) in enumerate(stats, 1)
            }
        )
    )


CASES = {
    "fires at 90 % of the limit": (holding(90), {APP}),
    "quiet below 90 %": (holding(89), set()),
    "fires at 901 of 1,000": (holding(901, most=1000), {APP}),
    "fires at exactly 900 of 1,000, where the peer passes": (holding(900, most=1000), {APP}),
    "quiet at 100 of 1,000": (holding(100, most=1000), set()),
    "fires beyond the limit": (holding(101), {APP}),
    "fires on the sum of two servers, where the peer passes": (holding(50, 50), {APP}),
    "quiet without a limit": (holding(500, most=-1), set()),
    "quiet where the limit is 0, as with the peer": (holding(500, most=0), set()),
    "quiet where the account has no JWT": (system(cluster(n1=999, n2=0)), set()),
    "fires with the leaf nodes of the fullest server": (with_leafs((40, 2), (40, 10)), {APP}),
    "quiet as those of other servers do not count": (with_leafs((40, 9), (40, 9)), set()),
    "fires about each account by itself": (
        system(
            cluster(
                n1=Server(
                    users={f"{APP} app": 9, f"{OTHER} app": 95},
                    accounts=jwt("APP", conn=100) | jwt("OTHER", conn=100),
                )
            )
        ),
        {OTHER},
    ),
    "fires though a server hangs": (holding(60, 40, n3=hung), {APP}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


BANDS = {90: (WARNING, 90.0), 99: (WARNING, 90.0), 100: (CRITICAL, 100.0), 101: (CRITICAL, 100.0)}


@pytest.mark.parametrize(("clients", "expected"), BANDS.items(), ids=BANDS)
def test_it_is_critical_at_the_limit(clients, expected):
    said = finding(check, holding(clients))
    assert (said.severity, said.threshold) == expected


def test_both_limits_can_be_set():
    assert found(check, holding(50), "checks.account_connection_limit.warning = 50.0\n") == {APP}
    low = "checks.account_connection_limit = { warning = 50.0, critical = 60.0 }\n"
    assert finding(check, holding(60), low).severity == CRITICAL


def test_it_says_how_many_there_are():
    said = finding(check, with_leafs((40, 2), (1040, 10)))
    assert said.summary == "account APP holds 1,090 of 100 allowed connections"
    assert (said.value, said.unit) == (1090, "%")
    assert said.evidence == {"clients": 1080, "leafnodes": 10, "limit": 100}


def test_an_account_that_was_not_read_is_unknown_until_it_is():
    story = Story(checks=[check])
    story.hears(holding(95), {("n1", "ACCOUNTZ_DETAIL")})
    assert story.audit.unknown == {(check.code, (APP,)): f"ACCOUNTZ_DETAIL of {APP}"}
    assert not story.audit.outcomes[check.code].excused
    story.hears(holding(95), after=600)
    assert story.found == {APP}


def test_a_higher_limit_resolves_it():
    story = Story(checks=[check])
    told = [said for _ in range(6) for said in story.hears(holding(95))]
    assert told == [f"opened ACCOUNTS_001 {APP}"]
    told = [said for _ in range(20) for said in story.hears(holding(95, most=200))]
    assert told[-1] == f"resolved ACCOUNTS_001 {APP}"


def test_it_stays_open_until_well_below():
    story = Story(checks=[check])
    for clients in (95, 95, 95, 95, 86, 86, 86, 86, 86, 86):
        story.hears(holding(clients))
    assert [life.is_open for life in story.lives.values()] == [True]
    for _ in range(6):
        story.hears(holding(85))
    assert not story.lives
