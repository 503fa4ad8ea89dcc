"""ACCOUNTS_902: the JWT of an account expires soon."""

from __future__ import annotations

import pytest

from nats_insights.check import CRITICAL, WARNING
from nats_insights.checks.accounts.account_jwt_expiry import account_jwt_expiry as check
from nats_insights.testing import account as jwt
from nats_insights.testing import key as key_of
from scenario import Server, Story, cluster, finding, found, system

APP, SYS = key_of("APP"), key_of("SYS")


def ending(days: float, life: float = 365, name: str = "APP"):
    """A cluster whose account has a JWT with so many days left of its life."""
    return system(cluster(n1=Server(accounts=jwt(name, days=days, life=life)), n2=0))


CASES = {
    "fires below 14 days": (ending(13.99), {APP}),
    "quiet above 14 days": (ending(14.01), set()),
    "fires after the end": (ending(-3), {APP}),
    "quiet where it does not expire": (ending(0), set()),
    "quiet where the account has no JWT": (system(cluster(n1=5)), set()),
    "quiet where more than a third of a day is left": (ending(0.331, life=1), set()),
    "fires where less than a third of a day is left": (ending(0.329, life=1), {APP}),
    "fires about the system account, too": (ending(5, name="SYS"), {SYS}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("days", "severity"), [(3.01, WARNING), (2.99, CRITICAL), (-1, CRITICAL)])
def test_it_is_critical_below_three_days(days, severity):
    assert finding(check, ending(days)).severity == severity


def test_its_limits_can_be_set():
    one = "checks.account_jwt_expiry."
    assert found(check, ending(20), f"{one}warning_days = 30.0\n") == {APP}
    assert finding(check, ending(5), f"{one}critical_days = 6.0\n").severity == CRITICAL
    assert found(check, ending(0.5, life=1), f"{one}min_share = 60.0\n") == {APP}


@pytest.mark.parametrize(
    ("days", "sentence"), [(5, "expires in 5 days"), (-2, "expired 2 days ago")]
)
def test_it_says_when(days, sentence):
    said = finding(check, ending(days))
    assert said.summary == f"the JWT of account APP {sentence}"
    assert said.evidence["expires"].startswith("2027-01-")


def test_a_new_jwt_resolves_it():
    story = Story(checks=[check])
    told = [said for _ in range(6) for said in story.hears(ending(5))]
    told += [said for _ in range(20) for said in story.hears(ending(300))]
    assert told == [f"opened ACCOUNTS_902 {APP}", f"resolved ACCOUNTS_902 {APP}"]


def test_the_account_is_named_as_its_jwt_names_it():
    story = Story(checks=[check])
    for _ in range(6):
        story.hears(ending(5))
    (life,) = story.lives.values()
    assert life.entity["name"] == "APP"
    assert life.summary == "the JWT of account APP expires in 5 days"
