"""OPT_ACCT_002: the JWT of an account is very large."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_acct.excessive_jwt_size import excessive_jwt_size as check
from nats_insights.testing import account as jwt
from nats_insights.testing import exported, imported
from nats_insights.testing import key as key_of
from scenario import Server, Story, cluster, finding, found, system

APP = key_of("APP")
KIB = 1024


def sized(size: int, **more):
    """A cluster with an account whose JWT has so many bytes."""
    return system(cluster(n1=Server(accounts=jwt("APP", size=size, **more)), n2=0))


CASES = {
    "fires above 64 KiB": (sized(64 * KIB + 1), {APP}),
    "quiet at 64 KiB": (sized(64 * KIB), set()),
    "fires at a megabyte": (sized(KIB * KIB), {APP}),
    "quiet about a usual one": (sized(900), set()),
    "quiet where the account has no JWT": (system(cluster(n1=5)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_its_limit_can_be_set():
    assert found(check, sized(KIB + 1), "checks.excessive_jwt_size.max_size = 1.0\n") == {APP}


def test_it_says_how_large_it_is_and_what_is_in_it():
    lists = {"imports": [imported("X", "a"), imported("X", "b")], "exports": [exported("c")]}
    said = finding(check, sized(96 * KIB + 512, **lists))
    assert said.summary == "the JWT of account APP has 96.5 KiB"
    assert (said.value, said.threshold, said.unit) == (96.5, 64.0, "KiB")
    assert said.evidence == {"imports": 2, "exports": 1}


def test_it_opens_and_resolves_well_below():
    story = Story(checks=[check])
    told = [said for _ in range(6) for said in story.hears(sized(70 * KIB))]
    told += [said for _ in range(20) for said in story.hears(sized(60 * KIB))]
    assert told == [f"opened OPT_ACCT_002 {APP}", f"updated OPT_ACCT_002 {APP}"]
    told = [said for _ in range(20) for said in story.hears(sized(57 * KIB))]
    assert told == [f"resolved OPT_ACCT_002 {APP}"]
