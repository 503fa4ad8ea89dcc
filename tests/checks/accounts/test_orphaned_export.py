"""ACCOUNTS_004: nobody imports what an account exports."""

from __future__ import annotations

import pytest

from nats_insights.checks.accounts.orphaned_export import orphaned_export as check
from nats_insights.testing import account, exported
from scenario import Server, Story, cluster, finding, found, lone, system

PUBLIC = {"exports": [exported("orders.>")]}
FOUND = "ORDERS C1 service orders.>"


def importing(subject, type="service", account="ORDERS"):
    one = {"subject": subject, "type": type, "account": account, "local_subject": "mine"}
    return {"imports": [one]}


def plain(**accounts):
    """A cluster with these accounts in its configuration."""
    return cluster(n1=Server(3, accounts=accounts), n2=Server(3, accounts=accounts))


CASES = {
    "fires where nobody imports it": (system(plain(ORDERS=PUBLIC, SHOP={})), {FOUND}),
    "quiet where another account does": (
        system(plain(ORDERS=PUBLIC, SHOP=importing("orders.>"))),
        set(),
    ),
    "quiet where another account imports a part": (
        system(plain(ORDERS=PUBLIC, SHOP=importing("orders.new"))),
        set(),
    ),
    "fires where it imports another subject": (
        system(plain(ORDERS=PUBLIC, SHOP=importing("order.new"))),
        {FOUND},
    ),
    "fires where it imports a stream of that subject": (
        system(plain(ORDERS=PUBLIC, SHOP=importing("orders.new", "stream"))),
        {FOUND},
    ),
    "fires where it imports that subject of another account": (
        system(plain(ORDERS=PUBLIC, SHOP=importing("orders.new", account="OTHER"))),
        {FOUND},
    ),
    "fires where only an account of another cluster imports it": (
        system(
            plain(ORDERS=PUBLIC), cluster("C2", n3=Server(3, accounts={"SHOP": importing(">")}))
        ),
        {FOUND},
    ),
    "fires on a server without a cluster": (
        system(lone(n1=Server(accounts={"ORDERS": PUBLIC}))),
        {"ORDERS n1 service orders.>"},
    ),
    "quiet about the system account": (
        system(plain(SYS={**PUBLIC, "account_name": "$SYS"})),
        set(),
    ),
    "quiet about accounts with JWTs": (system(plain(**account("ORDERS", **PUBLIC))), set()),
    "quiet without exports": (system(plain(ORDERS={})), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_which():
    private = {"exports": [exported("jobs", "stream", private=True)]}
    said = finding(check, system(plain(ORDERS=private)))
    assert said.summary == "no account imports the stream jobs of account ORDERS"
    assert said.evidence == {"type": "stream", "private": True}


def test_its_entity_has_the_account_and_the_subject():
    story = Story(checks=[check])
    story.hears(system(plain(ORDERS=PUBLIC)))
    (life,) = story.lives.values()
    assert life.entity == {
        "kind": "export",
        "id": "orders.>",
        "name": "orders.>",
        "account": "ORDERS",
        "subject": "orders.>",
        "cluster": "C1",
    }
    assert (life.home, life.rests_on) == ("C1", ())
    alone = Story(checks=[check])
    alone.hears(system(lone(n1=Server(accounts={"ORDERS": PUBLIC}))))
    (life,) = alone.lives.values()
    assert (life.home, life.rests_on) == ("", ("", "n1"))


def test_it_is_unknown_until_every_account_of_the_cluster_was_read():
    shop = importing("orders.>")
    given = system(plain(ANOTHER=shop, ORDERS=PUBLIC, SHOP=shop))
    for one in given.servers:
        del one.accounts["ANOTHER"]
    story = Story(checks=[check])
    story.hears(given)
    assert story.found == set()
    (why,) = story.audit.unknown.values()
    assert why == "ACCOUNTZ_DETAIL of ANOTHER"


def test_an_import_resolves_it_and_so_does_the_end_of_the_export():
    orphaned = system(plain(ORDERS=PUBLIC, SHOP={}))
    for given in (plain(ORDERS=PUBLIC, SHOP=importing("orders.a")), plain(ORDERS={}, SHOP={})):
        story = Story(checks=[check])
        told = [said for _ in range(12) for said in story.hears(orphaned)]
        told += [said for _ in range(20) for said in story.hears(system(given))]
        assert told == [f"opened ACCOUNTS_004 {FOUND}", f"resolved ACCOUNTS_004 {FOUND}"]
