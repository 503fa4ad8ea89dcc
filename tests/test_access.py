"""What a user may do, by the permissions that its server tells it."""

from __future__ import annotations

import pytest

from nats_insights.connection.connect import Permissions, Responses, Subjects, UserInfo
from nats_insights.gather.access import (
    dangers,
    may,
    may_answer,
    may_publish,
    may_reply,
    restricted,
)

ONE = Responses(max=1)


def publishing(*allow: str, deny: list[str] | None = None, **more: object) -> Permissions:
    """Permissions to publish on these subjects; any, where none are given."""
    return Permissions(publish=Subjects(allow=list(allow) or None, deny=deny), **more)


def subscribing(*allow: str, deny: list[str] | None = None, **more: object) -> Permissions:
    """Permissions to subscribe to these subjects; to any, where none are given."""
    return Permissions(subscribe=Subjects(allow=list(allow) or None, deny=deny), **more)


@pytest.mark.parametrize(
    ("permissions", "may_do"),
    [
        (None, True),
        (Permissions(), True),
        (publishing("$INSIGHTS.>"), True),
        (publishing("$INSIGHTS.ADVISORY.>"), False),
        (publishing("$SYS.REQ.>"), False),
        (publishing(deny=["$SYS.REQ.SERVER.*.KICK"]), True),
        (publishing("$INSIGHTS.>", deny=["$INSIGHTS.HEARTBEAT.*"]), False),
        (subscribing("_INBOX.>"), True),
    ],
)
def test_who_may_publish(permissions, may_do):
    assert may_publish(permissions) == may_do


@pytest.mark.parametrize(
    ("permissions", "may_do"),
    [
        (None, True),
        (publishing(deny=["$SYS.REQ.SERVER.*.KICK"]), True),
        (publishing(deny=["_R_.>"]), False),
        (publishing("$INSIGHTS.>"), False),
        (publishing("$INSIGHTS.>", responses=ONE), True),
        (publishing("_INBOX.>", "_R_.>"), True),
        (subscribing("_INBOX.>"), True),
    ],
)
def test_who_may_reply(permissions, may_do):
    assert may_reply(permissions) == may_do


@pytest.mark.parametrize(
    ("permissions", "may_do"),
    [
        (None, True),
        (subscribing("INSIGHTS.API.*"), True),
        (subscribing("INSIGHTS.API.* *"), True),
        (subscribing("_INBOX.>"), False),
        (subscribing(deny=["INSIGHTS.>"]), False),
        (subscribing(deny=["INSIGHTS.> others"]), True),
        (publishing("$INSIGHTS.>"), False),
    ],
)
def test_who_may_answer_queries(permissions, may_do):
    assert may_answer(permissions) == may_do


KEY = "A" * 56
SERVERS, CLAIMS = ["KICK", "LDM", "RELOAD"], ["CLAIMS.UPDATE", "CLAIMS.DELETE"]
JETSTREAM = ["META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE"]


@pytest.mark.parametrize(
    ("permissions", "account", "may_do"),
    [
        (None, "SYS", SERVERS + JETSTREAM),
        (None, KEY, SERVERS + JETSTREAM + CLAIMS),
        (publishing("$SYS.REQ.SERVER.*.VARZ"), KEY, []),
        (publishing("$SYS.REQ.SERVER.*.*"), KEY, SERVERS),
        (publishing("$SYS.REQ.SERVER.N1.KICK"), "SYS", ["KICK"]),
        (publishing("$SYS.REQ.SERVER.N2.KICK"), "SYS", []),
        (publishing("$SYS.REQ.>", deny=["$SYS.REQ.SERVER.*.KICK"]), KEY, SERVERS[1:] + CLAIMS),
        (publishing("$SYS.REQ.CLAIMS.*"), KEY, CLAIMS),
        (subscribing("_INBOX.>"), "SYS", SERVERS + JETSTREAM),
        (publishing("$JS.API.>"), "SYS", JETSTREAM),
        (publishing("$JS.API.ACCOUNT.PURGE.*"), "SYS", ["ACCOUNT.PURGE"]),
        (publishing("$JS.API.SERVER.*", "$JS.API.META.>"), KEY, JETSTREAM[:2]),
    ],
)
def test_which_requests_that_change_something_a_user_may_send(permissions, account, may_do):
    assert dangers(UserInfo(permissions=permissions, account=account), "N1") == may_do


@pytest.mark.parametrize(
    ("permissions", "imports", "may_do"),
    [
        (None, None, SERVERS),
        (publishing("mon.req.SERVER.*.VARZ"), None, []),
        (publishing("$SYS.REQ.>"), None, []),
        (publishing("mon.req.>"), None, SERVERS),
        (None, [], []),
        (None, ["$SYS.REQ.SERVER.*.VARZ", "$SYS.REQ.SERVER.*.KICK"], ["KICK"]),
        (publishing("mon.req.SERVER.N1.LDM"), ["$SYS.REQ.SERVER.*.*"], ["LDM"]),
    ],
)
def test_which_of_them_a_user_may_send_whose_account_imports_some(permissions, imports, may_do):
    user = UserInfo(permissions=permissions, account=KEY)
    assert dangers(user, "N1", "mon.req", imports) == may_do


@pytest.mark.parametrize(
    ("permissions", "has_one"),
    [
        (None, False),
        (subscribing("_INBOX.>"), False),
        # As servers say it of a user that may subscribe to some subjects only.
        (Permissions(publish=Subjects(), subscribe=Subjects(allow=["a"])), False),
        (publishing("a"), True),
        (publishing(deny=["a"]), True),
    ],
)
def test_who_has_a_list_of_what_it_may_publish(permissions, has_one):
    assert restricted(UserInfo(permissions=permissions)) == has_one


@pytest.mark.parametrize(
    ("allowed", "subject", "covered"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.b.c", "a.b", False),
        (">", "a", True),
    ],
)
def test_which_subjects_a_permission_covers(allowed, subject, covered):
    assert may(Subjects(allow=[allowed]), subject) == covered
