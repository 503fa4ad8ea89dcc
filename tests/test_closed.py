"""Closed connections: what servers list of them, and what is kept."""

from __future__ import annotations

import base64
import json
from math import inf

import msgspec
import pytest

from nats_insights.checks.user.reconnect_storm import reconnect_storm
from nats_insights.errors import Missing
from nats_insights.model.closed import CONNZ_CLOSED, closed_by_user, evidence_of_closed
from nats_insights.model.nouns.account import Account
from nats_insights.model.nouns.user import ClosedUser
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.varz import Varz
from nats_insights.testing import Server, Story, System, closed, cluster, system

TIMES = {"start": "2026-01-01T00:00:00.5Z", "stop": "2026-01-01T00:00:03.25Z"}
ROW = {"kind": "Client", "authorized_user": "app", "reason": "Client Closed", **TIMES}


def rows(*told: dict, total: int = 0, **more):
    """The rows of a reply, half a minute after the first second of the year."""
    data = {"now": "2026-01-01T00:00:30Z", "total": total or len(told), "connections": told}
    reply = {"server": {"name": "n1", "id": "N1"}, "data": data | more}
    return CONNZ_CLOSED.decode(msgspec.json.encode(reply))[1].connections


def test_servers_send_the_latest_first():
    assert json.loads(CONNZ_CLOSED.body) == {"auth": True, "state": 1, "sort": "stop", "limit": 64}


@pytest.mark.parametrize(("accepted", "held", "asked"), [(5, 5, False), (6, 5, True)])
def test_a_server_that_closed_none_needs_no_request(accepted, held, asked):
    told = CONNZ_CLOSED.without(Varz(total_connections=accepted, connections=held))
    assert (told is None) is asked


def test_a_row_says_how_long_ago_and_for_how_long():
    (row,) = rows(ROW)
    assert (row.ago, row.lasted, row.reach, row.account) == (26.75, 2.75, inf, "$G")


def test_of_a_list_that_has_more_the_last_row_says_how_far_it_reaches():
    last = ROW | {"kind": "Leafnode"}
    (row,) = rows(ROW | {"stop": "2026-01-01T00:00:20Z"}, last, total=3)
    assert row.reach == 26.75


def test_clocks_that_disagree_close_nothing_in_the_future():
    (row,) = rows(ROW | {"stop": "2026-01-01T00:00:31Z"})
    assert row.ago == 0.0


NOTHING = {
    "no time of the reply": ([ROW], {"now": None}),
    "no time of the row": ([{"kind": "Client"}], {}),
    "a leaf node": ([ROW | {"kind": "Leafnode"}], {}),
    "no list": ([], {"connections": None}),
}


@pytest.mark.parametrize(("told", "more"), NOTHING.values(), ids=NOTHING)
def test_what_says_nothing_is_left_out(told, more):
    assert rows(*told, **more) == []


@pytest.mark.parametrize("reason", ["Authentication Failure", "Authentication Timeout"])
def test_what_a_refused_client_called_its_user_is_not_kept(reason):
    (row,) = rows(ROW | {"authorized_user": "a token", "reason": reason})
    assert (row.authorized_user, row.refused) == ("", True)


def test_a_user_is_called_by_the_name_in_its_jwt():
    claims = base64.b64encode(b'{"name":"pump","sub":"UAAA"}').decode().rstrip("=")
    (row,) = rows(ROW | {"authorized_user": "UAAA", "jwt": f"e30.{claims}.x"})
    there = snapshot()
    user = ClosedUser(("APP", "UAAA"), [row], there)
    assert (user.jwt_name("user"), user.jwt_name("account")) == ("pump", "")
    assert (user.entity()["name"], user.entity()["id"]) == ("pump", "UAAA")


GIVEN = system(
    cluster(
        n1=Server(3, closed=(closed("Kicked", 5.0, cid=4), closed("Kicked", 9.0, cid=1))),
        n2=Server(3, closed=(closed("Stale Connection", 7.0), closed("Kicked", account="$SYS"))),
    )
)


def snapshot(given: System = GIVEN, lost=()) -> Snapshot:
    story = Story(checks=[reconnect_storm])
    story.hears(given, lost)
    return story.snapshot


def test_a_user_has_those_of_all_servers_the_latest_first():
    (user,) = ClosedUser.all(snapshot())
    assert [(row.server[-1], row.ago) for row in user.closed] == [
        ("n1", 5.0),
        ("n2", 7.0),
        ("n1", 9.0),
    ]
    assert user.entity() == {
        "kind": "user",
        "id": "app",
        "name": "app",
        "account": "APP",
        "user": "app",
    }
    assert user.labels() == {"account": "APP", "user": "app"}


def test_a_server_owes_them_until_it_replies():
    there = snapshot(lost=[("n2", CONNZ_CLOSED.key)])
    with pytest.raises(Missing, match="CONNZ_CLOSED of n2"):
        there.servers["C1", "n2"].closed  # noqa: B018
    assert [len(found) for found in closed_by_user(there.system).values()] == [2]
    assert len(Account("APP", there).seen_closed) == 2


def test_evidence_is_bounded():
    many = [closed(f"{n % 20} {500 * 'x'}", ip=500 * "y") for n in range(40)]
    for row in many:
        row.server = ("C1", "n1")
    told = evidence_of_closed(many)
    assert (len(told["closed"]["top"]), told["closed"]["left_out"]) == (10, 30)
    assert (len(told["by_reason"]["top"]), told["by_reason"]["left_out"]) == (10, 10)
    assert max(len(reason) for reason, _ in told["by_reason"]["top"]) == 128
