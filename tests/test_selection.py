"""Findings of operator mode: accounts and users have keys, and names that their JWTs give."""

from __future__ import annotations

import pytest

from nats_insights.judge.audit import Key
from nats_insights.judge.finding import WARNING
from nats_insights.judge.lifecycle import Life
from nats_insights.tell.messages import FindingsRequest, Group
from nats_insights.tell.selection import Counted, passing

ACCOUNT = {"account": "ADOUP", "account_name": "APP"}
ENTITIES = {
    "a named user": {"kind": "user", "id": "UAOZA", "name": "app", **ACCOUNT, "user": "UAOZA"},
    "a user without a name": {"kind": "user", "id": "UBBBB", "name": "UBBBB", "user": "UBBBB"},
    "an account": {"kind": "account", "id": "ADOUP", "name": "APP", **ACCOUNT},
    "a server": {"kind": "server", "id": "C1", "name": "app", "cluster": "C1", "server": "app"},
}
LIVES = {
    name: Life(
        key=Key("TEST_001", (name,)),
        severity=WARNING,
        home="",
        rests_on=(),
        when_gone="",
        scope="ACCOUNT",
        fingerprint=32 * "f",
        entity=entity,
        is_open=True,
    )
    for name, entity in ENTITIES.items()
}
ASKED = {
    "a user by name": ({"user": "app"}, ["a named user"]),
    "a user by key": ({"user": "UAOZA"}, ["a named user"]),
    "a user that has no name": ({"user": "UBBBB"}, ["a user without a name"]),
    "an account by name": ({"account": "APP"}, ["a named user", "an account"]),
    "an account by key": ({"account": "ADOUP"}, ["a named user", "an account"]),
    "a server": ({"server": "app"}, ["a server"]),
}


@pytest.mark.parametrize(("asked", "expected"), ASKED.values(), ids=ASKED)
def test_findings_are_asked_for_by(asked, expected):
    kept = passing(FindingsRequest(**asked), {"TEST_001"})(list(LIVES.values()))
    assert [life.key.names[0] for life in kept] == expected


def test_groups_have_keys_and_names():
    counted = Counted("user")
    counted.add(LIVES.values())
    told = [counted.group(names) for names in counted.groups]
    assert told == [
        Group(**ACCOUNT, user="UAOZA", user_name="app", warning=1),
        Group(user="UBBBB", warning=1),
        Group(**ACCOUNT, warning=1),
        Group(warning=1),
    ]
