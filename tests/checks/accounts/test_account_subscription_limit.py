"""ACCOUNTS_006: clients of an account are about to reach their subscription limit."""

from __future__ import annotations

import pytest

from nats_insights.checks.accounts.account_subscription_limit import (
    account_subscription_limit as check,
)
from nats_insights.replies.claims import Claimed
from nats_insights.replies.connz import Row, Rows
from nats_insights.testing import account, key
from scenario import Server, Story, cluster, finding, found, row, system

APP = key("APP")


def subscribed(*counts: int, subs: int = 1000, **more: Server):
    """A cluster whose clients of one account have so many subscriptions each."""
    rows = tuple(
        row(account=APP, subscriptions=count, name=f"c{number}")
        for number, count in enumerate(counts)
    )
    return system(cluster(n1=Server(rows=rows, accounts=account("APP", subs=subs)), n2=0, **more))


def own(subscriptions: int, most: int, *, user: str = "U", subs: int = -1):
    """A client with a limit in its own JWT."""
    claimed = Claimed("U", "web", most)
    told = Row(
        kind="Client",
        account=APP,
        authorized_user=user,
        subscriptions=subscriptions,
        claimed=claimed,
    )
    replies = {"CONNZ_SUBS_16_600": Rows(connections=[told])}
    one = Server(1, accounts=account("APP", subs=subs), replies=replies)
    return system(cluster(n1=one, n2=0))


CASES = {
    "fires at 90 % of the limit": (subscribed(900), {APP}),
    "quiet below 90 %": (subscribed(899), set()),
    "quiet where many clients have 90 % together": (subscribed(*9 * [100]), set()),
    "quiet at 901 of 1,000 of the whole account, where the peer warns": (
        subscribed(451, 450),
        set(),
    ),
    "fires about one of many clients": (subscribed(5, 950, 3), {APP}),
    "quiet without a limit": (subscribed(50_000, subs=-1), set()),
    "quiet where the limit is 0": (subscribed(50_000, subs=0), set()),
    "quiet below the smallest number": (subscribed(99, subs=99), set()),
    "fires from the smallest number on": (subscribed(100, subs=100), {APP}),
    "fires at the limit of the client's own JWT": (own(180, 200), {APP}),
    "quiet below it": (own(179, 200), set()),
    "fires at the lower limit of two": (own(180, 200, subs=1000), {APP}),
    "fires at the lower limit of two again": (own(180, 1000, subs=200), {APP}),
    "quiet where the JWT is that of somebody else": (own(180, 200, user="V"), set()),
    "quiet where the account has no JWT": (system(cluster(n1=5)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_its_limits_can_be_set():
    one = "checks.account_subscription_limit."
    assert found(check, subscribed(500), f"{one}percent = 50.0\n") == {APP}
    assert found(check, subscribed(9, subs=10), f"{one}min_subscriptions = 5\n") == {APP}


def test_it_names_the_clients_that_are_near():
    said = finding(check, subscribed(950, 1000, 10, 899))
    assert said.summary == (
        "a client of account APP on n1 has 1,000 of 1,000 allowed subscriptions"
    )
    assert (said.value, said.threshold, said.unit) == (100, 90, "%")
    assert [one["name"] for one in said.evidence["connections"]["top"]] == ["c1", "c0"]
    assert said.servers == ("n1",)


def test_it_opens_and_resolves_well_below():
    story = Story("gather.every = { CONNZ_SUBS_16_600 = '0s' }\n", [check])
    told = [said for _ in range(6) for said in story.hears(subscribed(900))]
    told += [said for _ in range(6) for said in story.hears(subscribed(855))]
    assert told == [f"opened ACCOUNTS_006 {APP}"]
    told = [said for _ in range(6) for said in story.hears(subscribed(854))]
    assert told == [f"resolved ACCOUNTS_006 {APP}"]
