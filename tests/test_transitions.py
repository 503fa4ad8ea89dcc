"""HISTORY: the transitions that an agent still knows, and from when on it knows them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kit.asked import after, ask, pages, view
from nats_insights.judge.auditor import Auditor, Known
from nats_insights.judge.lifecycle import Told
from nats_insights.judge.transitions import KEPT, Transitions
from nats_insights.tell import advisory
from nats_insights.tell.advisory import at
from nats_insights.tell.queries import Refused, answer
from nats_insights.tell.view import View
from scenario import FOUNDING, START, Server, Story, cluster, lone, system

FULL, NEAR, EASY = (Server(n, max_connections=100) for n in (99, 80, 5))
CHECK = FOUNDING["connection_count_high"]


# --- What is kept.


@pytest.fixture(scope="module")
def opened() -> Told:
    """Any transition."""
    story = Story(checks=[CHECK])
    story.hears(system(lone(n1=NEAR)))
    return story.told[0]


def test_before_the_first_epoch_nothing_is_known():
    assert (list(Transitions()), Transitions().since) == ([], None)


def test_nothing_is_missing_since_the_first_epoch(opened):
    kept = Transitions()
    kept.add([], 100.0)
    kept.add([opened], 200.0)
    assert (list(kept), kept.since) == ([opened], 100.0)


def test_a_reminder_is_no_news(opened):
    kept = Transitions()
    news = ("opened", "reminded", "updated", "resolved")
    kept.add([replace(opened, transition=one) for one in news], 100.0)
    assert [item.transition for item in kept] == ["opened", "updated", "resolved"]


def test_the_oldest_make_room_and_what_is_known_begins_after_them(opened):
    kept = Transitions()
    kept.add([replace(opened, at=float(n)) for n in range(KEPT)], 0.0)
    assert (len(kept), kept.since) == (KEPT, 0.0)
    kept.add([replace(opened, at=5000.0), replace(opened, at=5000.0)], 5000.0)
    assert (len(kept), kept.since) == (KEPT, 1.0)
    assert [item.at for item in kept][:2] == [2.0, 3.0]


def test_a_copy_stays_as_it_was(opened):
    kept = Transitions()
    kept.add([opened], 100.0)
    before = kept.copy()
    kept.add([opened], 200.0)
    assert (len(before), before.since, len(kept)) == (1, 100.0, 2)


def test_the_pages_say_how_many_are_kept():
    pages = Path(__file__).parents[1] / "docs"
    for page in ("subjects.md", "history.md"):
        assert f"the last {KEPT:,} transitions" in (pages / page).read_text()


# --- HISTORY.


@pytest.fixture(scope="module")
def known() -> View:
    """Server n1 opened as a warning, got critical and resolved; then user bob opened.

    Epochs are 30 seconds apart, the first at 8:00:30.
    """
    story = Story()
    bob = Server(users={"A bob": 120})
    for n1, n2 in ((NEAR, 0), (FULL, 0), (EASY, 0), (EASY, 0), (5, bob)):
        story.hears(system(cluster("EU", n1=n1), cluster("US", n2=n2)))
    return view(story)


def said(of: View, **body: Any) -> list[str]:
    return [
        f"{one['transition']} {one['severity']} {one['entity']['name']} {one['timestamp'][11:19]}"
        for one in ask(of, "HISTORY", **body)["transitions"]
    ]


N1 = [
    "resolved critical n1 08:02:00",
    "opened critical n1 08:01:00",
    "resolved warning n1 08:01:00",
    "opened warning n1 08:00:30",
]
BOB = ["opened warning bob 08:02:30"]
FILTERS = {
    "nothing": ({}, BOB + N1),
    "a time since": ({"since": "2027-01-15T08:02:00Z"}, BOB + N1[:1]),
    "a time until": ({"until": "2027-01-15T08:01:00Z"}, N1[3:]),
    "both": ({"since": "2027-01-15T08:01:00Z", "until": "2027-01-15T08:02:00Z"}, N1[1:3]),
    "a moment": ({"since": "2027-01-15T08:01:00Z", "until": "2027-01-15T08:01:00Z"}, []),
    "a code": ({"code": "USER_002"}, BOB),
    "a name": ({"code": "connection_count_high"}, N1),
    "a severity": ({"severity": "critical"}, N1[:2]),
    "a severity and worse": ({"severity_at_least": "critical"}, N1[:2]),
    "a scope": ({"scope": "ACCOUNT"}, BOB),
    "a cluster": ({"cluster": "EU"}, N1),
    "a server": ({"server": "n1"}, N1),
    "an account": ({"account": "A"}, BOB),
    "a user": ({"user": "bob"}, BOB),
    "nobody": ({"user": "eve"}, []),
    "another fingerprint": ({"fingerprint": 32 * "0"}, []),
}


@pytest.mark.parametrize(("body", "expected"), FILTERS.values(), ids=FILTERS)
def test_what_happened_is_told_with_the_last_first_by(body, expected, known):
    assert said(known, **body) == expected


def test_one_finding_is_followed_by_its_fingerprint_however_it_is_written(known):
    fingerprint = ask(known, "FINDINGS", user="bob")["findings"][0]["fingerprint"]
    assert said(known, fingerprint=fingerprint) == said(known, fingerprint=fingerprint.upper())
    assert said(known, fingerprint=fingerprint) == BOB


def test_how_long_ago_counts_from_now(known, monkeypatch):
    monkeypatch.setattr("time.time", lambda: START + 155.0)
    assert said(known, since="35s") == BOB + N1[:1]
    assert said(known, until="95s") == N1[3:]
    assert said(known, since="95s", until="35s") == N1[1:3]
    assert said(known, since="30") == BOB


def test_a_transition_is_told_as_its_advisory_told_it():
    story = Story(checks=[CHECK])
    for n1 in (NEAR, FULL, EASY, EASY):
        story.hears(system(lone(n1=n1)))
        of = view(story)
        published = [
            advisory.advisory(item, CHECK, of.agent, of.coverage, of.valid_for)
            for item in story.told
        ]
        newest = ask(of, "HISTORY")["transitions"][: len(published)]
        for row, message in zip(newest, reversed(published), strict=True):
            own = json.loads(msgspec.json.encode(message))
            for field in ("type", "agent", "coverage"):
                del own[field]
            assert row == own


def test_it_is_said_from_when_on_all_is_known(known):
    assert ask(known, "HISTORY")["known_since"] == "2027-01-15T08:00:30Z"
    assert ask(after(), "HISTORY")["transitions"] == []


def test_what_resolved_lately_is_a_part_of_it(known):
    resolved = ask(known, "FINDINGS", state="resolved")["findings"]
    assert [(one["severity"], one["entity"]["name"]) for one in resolved] == [("critical", "n1")]


def test_what_happened_is_known_after_a_restart():
    story = Story(checks=[CHECK])
    for n1 in (NEAR, EASY, EASY):
        story.hears(system(lone(n1=n1)))
    before = ask(view(story), "HISTORY")
    auditor = Auditor(story.auditor.checks, story.auditor.config)
    written = msgspec.json.encode(story.auditor.known)
    auditor.restore(msgspec.json.decode(written, type=Known), story.now)
    story.auditor = auditor
    after = ask(view(story), "HISTORY")
    assert before["transitions"] == after["transitions"] != []
    assert before["known_since"] == after["known_since"]


@pytest.mark.parametrize("max_payload", [1024 * 1024, 16_384, 4096])
def test_all_of_it_is_told_once_in_pages_that_fit(max_payload):
    story = Story(checks=[CHECK])
    story.hears(system(lone(**{f"n{i:04}": NEAR for i in range(KEPT + 50)})))
    of = view(story, max_payload=max_payload)
    replies = list(pages(of, "HISTORY", "transitions", limit=1000))
    names = [one["entity"]["name"] for r in replies for one in json.loads(r)["transitions"]]
    assert names == [f"n{i:04}" for i in reversed(range(50, KEPT + 50))]
    assert max(map(len, replies)) < min(256 * 1024, max_payload)
    assert json.loads(replies[0])["known_since"] == at(story.now).isoformat().replace("+00:00", "Z")


A_TIME = "a time such as 2026-11-22T14:00:00Z, or a duration such as 2h"
REFUSED = {
    "no time": ({"since": "yesterday"}, 400, f"since is {A_TIME}, not 'yesterday'"),
    "no time to end": ({"until": "-2h"}, 400, f"until is {A_TIME}, not '-2h'"),
    "a time without a zone": (
        {"since": "2026-11-22T14:00:00"},
        400,
        f"since is {A_TIME}, not '2026-11-22T14:00:00'",
    ),
    "a day": ({"since": "2026-11-22"}, 400, f"since is {A_TIME}, not '2026-11-22'"),
    "a number": ({"since": 7200}, 400, "since is text, not 7200"),
    "an end before the beginning": (
        {"since": "1h", "until": "2h"},
        400,
        "since is later than until",
    ),
    "an unknown check": ({"code": "SERVER_O11"}, 404, "did you mean SERVER_011?"),
    "a state": ({"state": "open"}, 400, "there is no field state"),
}


@pytest.mark.parametrize(("body", "code", "why"), REFUSED.values(), ids=REFUSED)
def test_history_is_refused_for(body, code, why, known):
    with pytest.raises(Refused) as refused:
        answer(known, "HISTORY", json.dumps(body).encode())
    assert refused.value.code == code
    assert why in str(refused.value)


def test_a_time_of_any_length_is_no_error(known):
    assert said(known, since="9" * 300 + "d") == BOB + N1
    assert said(known, until="9" * 400 + "d") == []
    assert said(known, since="0001-01-01T00:00:00+23:00", until="9999-12-31T23:59:59-23:00")
