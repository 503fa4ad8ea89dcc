"""ACCOUNTS_003: an import of an account is not in force."""

from __future__ import annotations

import pytest

from nats_insights.checks.accounts.inactive_import import inactive_import as check
from nats_insights.testing import account, exported, imported, key
from scenario import START, Server, Story, cluster, finding, found, system

APP, ORDERS = key("APP"), key("ORDERS")
PUBLIC = exported("orders.>")
PRIVATE = exported("orders.>", private=True)


def importing(*imports, exports=(PUBLIC,), **exporter):
    """A cluster with an account that imports, and another one that exports."""
    accounts = account("APP", imports=imports) | account("ORDERS", exports=exports, **exporter)
    return system(cluster(n1=Server(users={f"{APP} app": 2}, accounts=accounts), n2=0))


def broken(subject="orders.new", **claims):
    return imported("ORDERS", subject, active=False, **claims)


CASES = {
    "fires about an import that is not in force": (importing(broken()), {APP}),
    "fires about one that is not valid any more": (
        importing(imported("ORDERS", "orders.new", active=False, invalid=True)),
        {APP},
    ),
    "quiet where all are in force": (
        importing(imported("ORDERS", "orders.new"), imported("ORDERS", "orders.>", "stream")),
        set(),
    ),
    "fires about one of several of the same subject": (
        importing(imported("ORDERS", "orders.new"), broken(local_subject="mine")),
        {APP},
    ),
    "fires about a stream beside a service of the same subject": (
        importing(imported("ORDERS", "orders.new"), broken(type="stream")),
        {APP},
    ),
    "quiet about an account without imports": (importing(), set()),
    "quiet where the account has no JWT": (system(cluster(n1=5)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


CAUSES = {
    "servers do not find that account": (imported("NOBODY", "x", active=False), {}),
    "the JWT of that account has expired": (broken(), {"expired": True}),
    "that account does not export it": (broken("stock.new"), {}),
    "that account does not export it ": (broken(type="stream"), {}),
    "it has no activation token": (broken(), {"exports": [PRIVATE]}),
    "its activation token has expired": (
        broken(token="a.eyJleHAiOjE4MDAwMDAwMzB9.c"),
        {"exports": [PRIVATE]},
    ),
    "its activation token is not accepted": (
        broken(token="a.eyJleHAiOjE4MDAwMDAwMzF9.c"),
        {"exports": [PRIVATE]},
    ),
    "its activation token is not accepted ": (broken(token="x"), {"exports": [PRIVATE]}),
    "": (broken(), {"exports": [PRIVATE, exported("*.new")]}),
}


@pytest.mark.parametrize(("cause", "given"), CAUSES.items(), ids=CAUSES)
def test_it_says_why(cause, given):
    one, exporter = given
    assert START + 30 == 1_800_000_030
    said = finding(check, importing(one, **exporter))
    (named,) = said.evidence["imports"]["top"]
    assert named["why"] == cause.strip()
    assert (f" ({cause.strip()})" in said.summary) is bool(cause)


def test_of_an_exporter_that_was_not_read_nothing_is_said():
    given = importing(imported("ORDERS", "orders.new", active=False))
    del given.servers[0].accounts[ORDERS]
    assert finding(check, given).evidence["imports"]["top"][0]["why"] == ""


def test_it_says_which():
    said = finding(check, importing(broken("stock.new"), imported("ORDERS", "orders.new")))
    assert said.summary == (
        "account APP has 1 import that is not in force: service stock.new (that account does not "
        "export it)"
    )
    assert (said.value, said.threshold, said.unit) == (1, 1, "imports")
    (named,) = said.evidence["imports"]["top"]
    assert (named["account"], named["account_name"], named["subject"], named["type"]) == (
        ORDERS,
        "ORDERS",
        "stock.new",
        "service",
    )


def test_it_names_ten_of_many():
    said = finding(check, importing(*[broken(f"stock.{n}") for n in range(12)]))
    assert said.summary == (
        "account APP has 12 imports that are not in force: service stock.0 (that account does not "
        "export it), ..."
    )
    assert len(said.evidence["imports"]["top"]) == 10
    assert said.evidence["imports"]["left_out"] == 2


def test_how_many_may_be_inactive_can_be_set():
    two = "checks.inactive_import.imports = 2\n"
    assert found(check, importing(broken()), two) == set()
    assert found(check, importing(broken(), broken("a.b")), two) == {APP}


def test_it_opens_after_two_readings_and_resolves():
    story = Story(checks=[check])
    told = [story.hears(importing(broken())) for _ in range(12)]
    assert told == [[]] * 11 + [[f"opened ACCOUNTS_003 {APP}"]]
    good = importing(imported("ORDERS", "orders.new"))
    told = [said for _ in range(20) for said in story.hears(good)]
    assert told == [f"resolved ACCOUNTS_003 {APP}"]
