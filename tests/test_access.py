"""What a user may do, by the permissions that its server tells it."""

from __future__ import annotations

import pytest

from nats_insights.connection.connect import Permissions, Responses, Subjects
from nats_insights.gather.access import may, may_answer, may_publish, may_reply

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
