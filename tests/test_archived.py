"""HISTORY with what a stream has kept: as if the agent still remembered it, and each thing once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kit.asked import view
from kit.published import openings, tell
from nats_insights import subjects
from nats_insights.judge.lifecycle import Told
from nats_insights.tell.history import Past, Question, Recorded, history, merged, told_at
from nats_insights.tell.messages import HistoryReply
from nats_insights.tell.view import View
from scenario import Server, Story, cluster, system

FULL, NEAR, EASY = (Server(n, max_connections=100) for n in (99, 80, 5))


@pytest.fixture(scope="module")
def whole() -> View:
    """Server n1 opened as a warning, got critical and resolved; bob opened, and a system of a
    hostile name set all checks off."""
    story = Story()
    bob = Server(users={"A bob": 120})
    for n1, n2 in ((NEAR, 0), (FULL, 0), (EASY, 0), (EASY, 0), (5, bob)):
        story.hears(system(cluster("EU", n1=n1), cluster("US", n2=n2)))
    known = view(story)
    both = sorted([*known.transitions, *openings("café *.>")], key=lambda told: told.at)
    return replace(known, transitions=both)


def question(of: View, **body: Any) -> Question:
    return Question(of, json.dumps(body).encode())


def stored(of: View, question: Question, told: list[Told] | None = None) -> list[Recorded]:
    """What a stream that has all transitions says to a question, the last first."""
    payloads = [tell(one)[1].payload for one in (of.transitions if told is None else told)]
    return [row for row in map(question.recorded, reversed(payloads)) if row]


FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "since": {"since": "2027-01-15T08:02:00Z"},
    "until": {"until": "2027-01-15T08:01:00Z"},
    "both": {"since": "2027-01-15T08:01:00Z", "until": "2027-01-15T08:02:00Z"},
    "a code": {"code": "user_002"},
    "a name": {"code": "connection_count_high"},
    "a severity": {"severity": "critical"},
    "another severity": {"severity": "info"},
    "warning and worse": {"severity_at_least": "warning"},
    "critical and worse": {"severity_at_least": "critical"},
    "a scope": {"scope": "ACCOUNT"},
    "a scope and another check": {"scope": "ACCOUNT", "code": "SERVER_011"},
    "a cluster": {"cluster": "EU"},
    "a cluster of a hostile name": {"cluster": "café *.>"},
    "a server": {"server": "n1"},
    "an account": {"account": "A"},
    "a user": {"user": "bob"},
    "nobody": {"user": "eve"},
    "no finding": {"fingerprint": 32 * "0"},
    "a hostile finding": {"fingerprint": "*.>"},
}


@pytest.mark.parametrize("body", FILTERS.values(), ids=FILTERS)
def test_a_stream_tells_what_memory_would_tell(body, whole):
    asked = question(whole, **body)
    remembered = history(whole, json.dumps(body).encode())
    # Memory is empty: all comes from the stream.
    empty = replace(whole, transitions=[], known_since=2e9)
    told = merged(empty, asked, Past(rows=stored(whole, asked), since=1.0, stream="S"))
    assert told.transitions == remembered.transitions
    assert told.total == remembered.total


@pytest.mark.parametrize("body", FILTERS.values(), ids=FILTERS)
def test_no_subject_is_too_narrow(body, whole):
    asked = question(whole, **body)
    sent = [tell(told)[1] for told in whole.transitions if asked.is_about(told)]
    assert [one for one in sent if not subjects.covers(asked.subject, one.subject)] == []


def test_a_subject_is_as_narrow_as_the_question(whole):
    finding = whole.transitions[0].life.fingerprint
    asked = question(
        whole, severity="warning", cluster="a b", code="SERVER_011", fingerprint=finding
    )
    assert asked.subject == f"$INSIGHTS.ADVISORY.WARNING.*.a%20b.*.SERVER_011.{finding}"
    assert question(whole).subject == "$INSIGHTS.ADVISORY.*.*.*.*.*.*"


def test_what_memory_and_a_stream_both_have_is_told_once_and_in_order(whole):
    half = replace(whole, transitions=whole.transitions[2:], known_since=whole.transitions[2].at)
    asked = question(half)
    assert asked.reaches_back
    past = Past(rows=stored(whole, asked), since=5.0, stream="S")
    told = merged(half, asked, past)
    assert told.transitions == history(whole).transitions
    assert (told.known_since.timestamp(), told.stream, told.problem) == (5.0, "S", "")


def test_pages_of_both_are_one_list(whole):
    half = replace(whole, transitions=whole.transitions[2:])
    rows: list[Any] = []
    while True:
        asked = question(half, offset=len(rows), limit=2)
        page = merged(half, asked, Past(rows=stored(whole, asked)))
        rows += page.transitions
        if not page.more:
            break
    assert rows == history(whole).transitions


def test_a_stream_that_knows_less_does_not_shorten_what_is_known(whole):
    told = merged(whole, question(whole), Past(since=whole.known_since + 9, stream="S"))
    assert told.known_since.timestamp() == whole.known_since


def test_a_question_that_memory_can_answer_does_not_reach_back(whole):
    assert not question(whole, since="2027-01-15T08:00:30Z").reaches_back
    assert question(whole, since="2027-01-15T08:00:29Z").reaches_back
    assert question(whole).reaches_back


def test_reminders_are_left_out(whole):
    reminder = replace(whole.transitions[0], transition="reminded")
    assert stored(whole, question(whole), [reminder]) == []


def test_what_other_shards_told_is_left_out(whole):
    payload = json.loads(tell(whole.transitions[0])[1].payload)
    of_us = payload | {"agent": payload["agent"] | {"shard": "us"}}
    told = [json.dumps(one).encode() for one in (payload, of_us)]
    us = replace(whole, agent=replace(whole.agent, shard="us"))
    assert [bool(question(whole).recorded(one)) for one in told] == [True, False]
    assert [bool(question(us).recorded(one)) for one in told] == [False, True]


def test_the_pages_of_a_list_are_of_one_question(whole):
    first, second = (question(whole, offset=n, limit=n + 1, user="bob") for n in (0, 5))
    assert first.key == second.key
    assert first.key not in (question(whole).key, question(whole, user="eve").key)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"{}", b"[]", b"5", b"[" * 100_000])
def test_what_is_no_advisory_is_left_out(payload, whole):
    assert question(whole).recorded(payload) is None
    assert told_at(payload) == float("inf")


def test_what_a_check_said_that_there_is_no_more_is_told_unless_another_is_asked_for(whole):
    payload = json.loads(tell(whole.transitions[0])[1].payload) | {"code": "GONE_001"}
    written = msgspec.json.encode(payload)
    assert question(whole).recorded(written)
    assert question(whole, severity="warning").recorded(written)
    assert not question(whole, code="SERVER_011").recorded(written)
    assert not question(whole, scope="SERVER").recorded(written)


def test_names_of_jwts_are_labels_too(whole):
    (bob,) = [told for told in whole.transitions if told.life.entity.get("user") == "bob"]
    payload = json.loads(tell(bob)[1].payload)
    payload["entity"] |= {"account": "AKEY", "account_name": "team", "user": "UKEY", "name": "ann"}
    written = msgspec.json.encode(payload)
    for body in ({"account": "team"}, {"account": "AKEY"}, {"user": "UKEY"}, {"user": "ann"}):
        assert question(whole, **body).recorded(written), body
    for body in ({"account": "ann"}, {"user": "team"}, {"server": "ann"}):
        assert not question(whole, **body).recorded(written), body


def test_without_a_stream_nothing_is_said_of_one(whole):
    told = history(whole)
    assert (told.stream, told.problem) == ("", "")
    assert isinstance(told, HistoryReply)
