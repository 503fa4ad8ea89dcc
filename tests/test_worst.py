"""The worst connections of each server: asked by a figure that servers sort by, and few of them."""

from __future__ import annotations

import json

import pytest

from nats_insights.check import (
    INFO,
    STATZ,
    Account,
    Finding,
    Params,
    Row,
    User,
    by_user,
    check,
    worst,
)
from nats_insights.config import parse
from nats_insights.errors import DeclarationError, Missing
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.plan import plan
from nats_insights.judge.rules import rules
from nats_insights.replies.connz import SORTS, TIMES
from nats_insights.testing import Server, Story, cluster, hung, row, system


@worst("in_msgs", rows=3, every=120.0)
def talkers(row: Row, params: Params) -> bool:
    return row.in_msgs >= 7


@worst("in_msgs", rows=3, every=120.0)
def others(row: Row, params: Params) -> bool:
    return False


@worst("rtt")
def farthest(row: Row, params: Params) -> bool:
    return row.rtt > 1


DOCUMENTATION = """A client sends much.

Finds: so.

Why: so.

Do: so.
"""


def talks(account: Account) -> Finding | None:
    much = [row for row in account.rows(talkers) if row.in_msgs >= 7]
    return Finding(summary="much") if much else None


def user_talks(user: User) -> Finding | None:
    return Finding(summary="much") if user.seen_rows(talkers) else None


def talks_too(account: Account) -> Finding | None:
    return Finding(summary="much") if account.rows(others) else None


def talks_far(account: Account) -> Finding | None:
    return Finding(summary="far") if account.rows(farthest) else None


for function in (talks, user_talks, talks_too, talks_far):
    function.__doc__ = DOCUMENTATION
TALKS = check("TEST_901", INFO, "health", needs=(STATZ, talkers))(talks)
USER_TALKS = check("TEST_902", INFO, "health", needs=(by_user, talkers))(user_talks)
TALKS_TOO = check("TEST_903", INFO, "health", needs=(STATZ, others))(talks_too)
TALKS_FAR = check("TEST_904", INFO, "health", needs=(STATZ, farthest))(talks_far)

MANY = system(
    cluster(
        n1=Server(5, rows=(row(in_msgs=7), row(in_msgs=9), row(in_msgs=8, account="B"))),
        n2=Server(5, rows=(row(in_msgs=8, authorized_user="bob"), row(in_msgs=1))),
    )
)


def told(rows: list[Row]) -> list[tuple[str, int]]:
    return [(one.server[-1], one.in_msgs) for one in rows]


# --- What is asked.


@pytest.mark.parametrize(("field", "sort"), (SORTS | TIMES).items(), ids=SORTS | TIMES)
def test_servers_sort_and_send_a_few(field, sort):
    (endpoint,) = {worst(field)(lambda row, params: True).endpoint}
    assert json.loads(endpoint.body) == {"auth": True, "sort": sort, "limit": 16}
    assert (endpoint.subject(), endpoint.key, endpoint.every) == (
        "$SYS.REQ.SERVER.PING.CONNZ",
        f"CONNZ_{sort.upper()}",
        120.0,
    )


def test_it_is_asked_in_its_own_time():
    assert (talkers.endpoint.key, talkers.endpoint.every) == ("CONNZ_MSGS_FROM_3_120", 120.0)


def test_two_checks_that_want_the_same_ask_once():
    assert talkers.endpoint is others.endpoint
    asked = plan(rules([TALKS, TALKS_TOO], parse("")))
    assert {endpoint.key for endpoint in asked.endpoints} == {
        "VARZ",
        "STATZ",
        "CONNZ_MSGS_FROM_3_120",
    }


def test_no_server_lists_all_its_connections_for_it():
    story = Story(checks=[TALKS])
    story.hears(MANY)
    assert (story.swept, story.found) == (0, {"APP", "B"})


def test_how_often_can_be_set():
    story = Story("gather.every = { CONNZ_MSGS_FROM_3_120 = '30s' }", [TALKS])
    for _ in range(3):
        story.hears(MANY)
        assert story.found


WRONG = {
    "a figure that is text": (
        {"field": "uptime"},
        "servers cannot sort connections by 'uptime', but by subscriptions, pending_bytes, "
        "in_msgs, out_msgs, in_bytes, out_bytes, rtt, idle",
    ),
    "no rows": (
        {"field": "in_msgs", "rows": 0},
        "a server sends 1 to 256 of its worst rows, not 0",
    ),
    "all rows": (
        {"field": "in_msgs", "rows": 65_536},
        "a server sends 1 to 256 of its worst rows, not 65536",
    ),
    "each epoch": (
        {"field": "in_msgs", "every": 0.0},
        "the worst rows are read every so many seconds, not in each epoch",
    ),
}


@pytest.mark.parametrize(("given", "expected"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_asked_is_refused(given, expected):
    with pytest.raises(DeclarationError) as refused:
        worst(**given)
    assert str(refused.value) == expected


@pytest.mark.parametrize(("without", "excused"), [("", False), ("CONNZ", True)])
def test_who_may_not_ask_for_connections_may_not_ask_for_the_worst(without, excused):
    story = Story(f"access.without = {[without] if without else []}", [TALKS])
    story.hears(MANY, denied={talkers.endpoint.key})
    outcome = story.audit.outcomes["TEST_901"]
    assert (outcome.why, outcome.excused) == ("not permitted: CONNZ_MSGS_FROM_3_120", excused)


# --- What is read.


def noun(kind, name: str, lost=()):
    story = Story(checks=[TALKS, USER_TALKS])
    story.hears(MANY, lost)
    (found,) = [one for one in kind.all(story.snapshot) if one.names[-1] == name]
    return found


def test_an_account_has_its_rows_that_matter_of_all_servers_the_worst_first():
    assert told(noun(Account, "APP").rows(talkers)) == [("n1", 9), ("n2", 8), ("n1", 7)]
    assert told(noun(Account, "B").rows(talkers)) == [("n1", 8)]


def test_a_user_has_its_own():
    assert told(noun(User, "bob").rows(talkers)) == [("n2", 8)]


def test_times_are_read_as_seconds_and_sorted_as_such():
    rows = [row(rtt=rtt, idle="1d2h0m3s") for rtt in ("900ms", "1m0.5s", "2s", "")]
    story = Story(checks=[TALKS_FAR])
    story.hears(system(cluster(n1=Server(rows=tuple(rows)))))
    (account,) = Account.all(story.snapshot)
    rows = account.rows(farthest)
    assert [one.rtt for one in rows] == [60.5, 2.0]
    assert {one.idle for one in rows} == {93_603.0}
    assert farthest.named(rows)["top"][0]["rtt"] == 60.5


def test_they_are_missing_where_a_server_owes_them():
    account = noun(Account, "APP", [("n2", talkers.endpoint.key)])
    with pytest.raises(Missing, match="CONNZ_MSGS_FROM_3_120 of n2"):
        account.rows(talkers)
    assert told(account.seen_rows(talkers)) == [("n1", 9), ("n1", 7)]


def test_evidence_is_bounded():
    rows = [Row(cid=n, name=500 * "x", server=("C1", "n1"), in_msgs=n) for n in range(30)]
    named = talkers.named(rows)
    assert (len(named["top"]), named["left_out"]) == (10, 20)
    assert named["top"][7] == {
        "cid": 7,
        "name": 128 * "x",
        "ip": "",
        "server": "n1",
        "cluster": "C1",
        "account": "$G",
        "user": "",
        "in_msgs": 7,
    }


# --- What cannot be known.


def crowded(*figures: int):
    """A server whose clients of account B have sent so much, and one of APP that sent less."""
    of_b = [row(in_msgs=figure, account="B") for figure in figures]
    return system(cluster(n1=Server(rows=(*of_b, row(in_msgs=1))), n2=5))


@pytest.mark.parametrize(("figures", "hidden"), [((90, 9, 6), False), ((90, 20, 10), True)])
def test_more_may_be_hidden_only_where_the_last_row_matters(figures, hidden):
    story = Story(checks=[TALKS])
    story.hears(crowded(*figures))
    assert bool(story.snapshot.lacking.hidden) is hidden


def test_what_is_open_stays_while_others_hide_it():
    story = Story(checks=[TALKS])
    assert story.hears(MANY) == ["opened TEST_901 APP", "opened TEST_901 B"]
    for _ in range(5):
        assert story.hears(crowded(90, 20, 10), after=120.0) == []
    assert story.audit.unknown == {
        ("TEST_901", ("APP",)): "CONNZ_MSGS_FROM_3_120 in full of n1",
    }
    assert story.hears(crowded(90, 9, 6), after=120.0) == []
    assert story.hears(crowded(90, 9, 6), after=120.0) == ["resolved TEST_901 APP"]


def test_a_silent_server_keeps_what_is_open():
    story = Story(checks=[TALKS])
    story.hears(MANY)
    silent = system(cluster(n1=5, n2=hung))
    assert [story.hears(silent, after=120.0) for _ in range(3)] == [[], [], []]


@worst("in_msgs", rows=1)
def broken(row: Row, params: Params) -> bool:
    return row.in_msgs / 0 > 1


def test_where_nobody_can_judge_a_row_it_may_matter():
    story = Story(checks=[TALKS])
    story.hears(MANY)
    snapshot = story.snapshot
    for server in snapshot.servers.values():
        server.replies[broken.endpoint.key] = server.replies[talkers.endpoint.key]
    at_once(broken.choose(snapshot, Params()))
    assert broken.endpoint.key in snapshot.lacking.hidden
    assert len(snapshot.worst[broken]) == 6
