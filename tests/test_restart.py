"""What a new process takes up of the state that another one left, and what it ends."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from kit.published import AGENT, COVERAGE
from nats_insights.check import INFO, VARZ, Finding, check
from nats_insights.check import Server as Noun
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.lifecycle import Told
from nats_insights.judge.restart import Retired, TakenUp, retired, taken_up
from nats_insights.tell.advisory import advisory, subject
from scenario import Server, Story, cluster, system


@check("TEST_001", INFO, "health", needs=(VARZ,), open_after=3, resolve_after=3)
def full(server: Noun) -> Finding | None:
    """A server has clients.

    Finds: it. Why: it matters. Do: look at {server}.
    """
    count = server.varz.connections
    return Finding(summary=f"{server.name} has {count}", value=count) if count else None


OF_SILENCE = 100.0
A_DAY = 86_400.0
BUSY = system(cluster(n1=Server(5), n2=Server(0)))
IDLE = system(cluster(n1=Server(0), n2=Server(0)))
BOTH = system(cluster(n1=Server(5), n2=Server(5)))


def told(*systems: object) -> Story:
    """A story of these epochs."""
    story = Story("", [full])
    for one in systems:
        story.hears(one)  # type: ignore[arg-type]
    return story


def revived(story: Story, away: float, codes: tuple[str, ...] = ("TEST_001",)) -> TakenUp:
    """Another process goes on, so many seconds after this one saved its state."""
    story.now += away
    taken = taken_up(
        story.auditor.known,
        codes,
        now=story.now,
        away=away,
        silent_after=OF_SILENCE,
        forget_after=A_DAY,
    )
    story.auditor = Auditor([full] if codes else [], story.auditor.config)
    story.auditor.restore(taken.known, story.now)
    return taken


@pytest.mark.parametrize(("away", "epochs"), [(0.0, 1), (99.0, 1), (100.0, 3), (5000.0, 3)])
def test_a_pending_finding_goes_on_unless_the_agent_was_away_for_so_long_that_it_was_silent(
    away, epochs
):
    story = told(BUSY, BUSY)
    revived(story, away)
    heard = [story.hears(BUSY, after=1.0) for _ in range(epochs)]
    assert heard == [[]] * (epochs - 1) + [["opened TEST_001 C1 n1"]]


@pytest.mark.parametrize(("away", "epochs"), [(99.0, 1), (100.0, 3)])
def test_so_does_one_that_is_about_to_resolve(away, epochs):
    story = told(BUSY, BUSY, BUSY, IDLE, IDLE)
    revived(story, away)
    heard = [story.hears(IDLE, after=1.0) for _ in range(epochs)]
    assert heard == [[]] * (epochs - 1) + [["resolved TEST_001 C1 n1"]]


def test_an_open_finding_goes_on_with_its_identity_however_long_up_to_a_day():
    story = told(BUSY, BUSY, BUSY)
    (before,) = story.lives.values()
    assert revived(story, A_DAY - 1).over == []
    assert story.hears(BUSY, after=0.0) == ["reminded TEST_001 C1 n1"]
    (after,) = story.lives.values()
    assert (after.opened_at, after.revision) == (before.opened_at, before.revision + 1)


def test_after_a_day_it_ends_and_what_is_still_true_opens_as_another_one():
    story = told(BUSY, BUSY, BUSY)
    (key,) = story.lives
    story.lives[key] = replace(story.lives[key], partial="n3", evidence=Raw(b'{"a":1}'))
    before = story.lives[key]
    (over,) = revived(story, A_DAY).over
    assert (over.transition, over.reason, over.at) == ("resolved", "agent_restarted", story.now)
    assert over.life.summary == "no agent watched for 1d: n1 has 5"
    assert (over.life.value, over.life.revision) == (None, before.revision + 1)
    assert (bytes(over.life.evidence), over.life.partial) == (b"{}", "")
    heard = [story.hears(BUSY, after=1.0) for _ in range(3)]
    assert heard == [[], [], ["opened TEST_001 C1 n1"]]
    assert story.told[0].life.opened_at > before.opened_at


def test_what_was_pending_for_a_day_is_not_told():
    assert revived(told(BUSY), A_DAY).over == []


def test_what_is_saved_in_the_future_goes_on_as_if_the_agent_had_not_been_away():
    story = told(BUSY, BUSY)
    revived(story, -7200.0)
    assert story.hears(BUSY, after=1.0) == ["opened TEST_001 C1 n1"]


def test_a_finding_that_was_told_in_the_future_is_reminded_of_at_once():
    story = told(BUSY, BUSY, BUSY)
    revived(story, -7200.0)
    assert story.hears(BUSY, after=1.0) == ["reminded TEST_001 C1 n1"]


def test_a_server_that_died_in_the_future_is_gone_as_soon_as_any_other():
    story = told(BOTH, BOTH, BOTH)
    dead = system(cluster(n2=Server(5), n3=Server(0), n4=Server(0)))
    story.hears(dead)
    revived(story, -7200.0)
    heard = [story.hears(dead, after=60.0) for _ in range(6)]
    assert ["resolved TEST_001 C1 n1"] in heard


def test_no_time_of_a_server_is_later_than_now():
    story = told(BUSY)
    entry = next(iter(story.auditor.roster))
    times = [name for name in entry.__struct_fields__ if name.endswith(("_seen", "_since", "_at"))]
    assert len(times) == 8
    for name in times:
        setattr(entry, name, story.now)
    (taken, *_) = revived(story, -7200.0).known.roster
    assert {name: getattr(taken, name) for name in times} == dict.fromkeys(times, story.now)


def test_a_finding_whose_check_is_gone_ends_and_what_is_told_of_it_needs_no_check():
    story = told(BUSY, BUSY, BUSY)
    before = story.auditor.known
    (over,) = revived(story, 10.0, codes=()).over
    assert over.reason == "agent_restarted"
    assert story.lives == {}
    said = advisory(over, retired(full), AGENT, COVERAGE, 60.0)
    assert (said.code, said.name, said.title) == ("TEST_001", "full", "A server has clients")
    assert (said.state, said.remediation) == ("resolved", "")
    assert said.fingerprint == before.lives[0].fingerprint
    assert said.summary == "the agent that was started does not have its check: n1 has 5"
    assert subject(over.life, full) == subject(over.life, retired(full))


def test_transitions_are_left_out_where_their_check_is_gone():
    story = told(BUSY, BUSY, BUSY, IDLE, IDLE, IDLE)
    assert [one.transition for one in story.auditor.known.transitions] == ["opened", "resolved"]
    assert revived(story, 10.0).known.transitions == story.auditor.known.transitions
    assert revived(story, 10.0, codes=()).known.transitions == []


def test_what_is_kept_of_a_check_can_be_kept_again():
    once = retired(full)
    assert retired(once) == once == msgspec.convert(msgspec.to_builtins(once), Retired)


def test_it_is_told_of_once_more_under_the_same_id_if_that_was_not_heard():
    ids = set()
    for away in (A_DAY, A_DAY + 60):
        (over,) = revived(told(BUSY, BUSY, BUSY), away).over
        assert isinstance(over, Told)
        ids.add(advisory(over, full, AGENT, COVERAGE, 60.0).id)
    assert len(ids) == 1
