"""A successor goes on from what its predecessor saved, or from what it told later than that."""

from __future__ import annotations

from msgspec.structs import replace

from kit.published import BY_CODE, tell
from nats_insights.agent.advisories import Advisories
from nats_insights.agent.heir import LastWord
from nats_insights.agent.keeping import catch_up, inherit
from nats_insights.agent.kept import Kept
from nats_insights.agent.state import Left, State
from nats_insights.facts import Cost
from nats_insights.judge.auditor import Auditor
from nats_insights.tell.advisory import at, brief, counts
from nats_insights.tell.messages import AgentInfo, Heartbeat
from scenario import Story, cluster, system

AGENT = AgentInfo(id="a", instance=32 * "a", version="1", epoch=1, role="leader")
FULL = system(cluster("EU", n1=900, n2=1, n3=1))
EMPTY = system(cluster("EU", n1=1, n2=1, n3=1))


class Saved(State):
    """The state of a shard as the last leader saved it."""

    def __init__(self, left: Left) -> None:
        super().__init__()
        self.left = left

    async def take_up(self) -> Left | None:
        return self.left


def led() -> Story:
    """A leader of two findings."""
    story = Story(checks=BY_CODE.values())
    story.hears(FULL)
    story.hears(FULL)
    assert story.auditor.lives
    return story


def saved(story: Story) -> Saved:
    return Saved(Left(Kept(known=story.auditor.known_now, checks=[]), story.now))


def heard(story: Story) -> LastWord:
    """What a standby has heard of a leader until the heartbeat of its last epoch."""
    auditor = story.auditor
    beat = Heartbeat(
        id=32 * "0",
        timestamp=at(story.now),
        agent=replace(AGENT, epoch=auditor.number),
        coverage=brief(auditor.snapshot.coverage),
        interval_seconds=30.0,
        silent_after_seconds=100.0,
        leading_since=None,
        open=counts(auditor.lives.values()),
        cost=Cost(),
    )
    lives = [life for life in auditor.lives.values() if life.is_open]
    return LastWord(lives, [], beat, whole=True)


def successor(last: LastWord, story: Story) -> tuple[Auditor, Advisories]:
    """An agent that leads by what it heard, since it could not read the state yet."""
    auditor = Story(checks=BY_CODE.values()).auditor
    auditor.roster.adopt(list(story.auditor.roster))
    auditor.adopt(last.lives)
    return auditor, Advisories(auditor, BY_CODE.values())


def opened(auditor: Auditor) -> set[str]:
    return {life.key.code for life in auditor.lives.values() if life.is_open}


async def test_what_was_told_later_than_it_was_saved_comes_first():
    leader = led()
    state, now = saved(leader), leader.now
    found = opened(leader.auditor)
    for _ in range(5):
        leader.hears(EMPTY)
    assert opened(leader.auditor) == set()
    last = heard(leader)
    auditor, advisories = successor(last, leader)
    await catch_up(state, AGENT, auditor, advisories, last, now)
    assert opened(auditor) == set()
    assert await inherit(state, AGENT, auditor, advisories, last, now)
    assert opened(auditor) == set()
    await catch_up(state, AGENT, auditor, advisories, None, now)
    assert opened(auditor) == found


async def test_what_was_saved_last_comes_before_what_was_heard_till_then():
    leader = led()
    for _ in range(5):
        leader.hears(EMPTY)
    last = heard(leader)
    leader.hears(FULL)
    leader.hears(FULL)
    found = opened(leader.auditor)
    assert found
    auditor, advisories = successor(last, leader)
    await catch_up(saved(leader), AGENT, auditor, advisories, last, leader.now)
    assert opened(auditor) == found


async def test_what_was_saved_comes_before_what_was_heard_in_part():
    leader = led()
    state, found = saved(leader), opened(leader.auditor)
    leader.hears(FULL)
    last = heard(leader)._replace(lives=[], whole=False)
    auditor, advisories = successor(last, leader)
    await catch_up(state, AGENT, auditor, advisories, last, leader.now)
    assert opened(auditor) == found


async def test_what_no_stream_had_stored_is_still_to_be_stored_if_it_is_the_last_word():
    leader = led()
    opening = [tell(one)[1] for one in leader.told]
    state = saved(leader)
    leader.hears(FULL)
    last = heard(leader)
    state.left.kept.waiting = opening
    auditor, advisories = successor(last, leader)
    await catch_up(state, AGENT, auditor, advisories, last, leader.now)
    assert list(advisories.outbox.waiting) == opening
    over = []
    for _ in range(5):
        leader.hears(EMPTY)
        over += [tell(one)[1] for one in leader.told]
    assert opening
    assert over
    last = heard(leader)
    state.left.kept.waiting = [*opening, *over]
    auditor, advisories = successor(last, leader)
    await catch_up(state, AGENT, auditor, advisories, last, leader.now)
    assert opened(auditor) == set()
    assert list(advisories.outbox.waiting) == over


async def test_what_it_has_told_itself_stays_and_nothing_that_was_resolved_comes_back():
    leader = led()
    state, now = saved(leader), leader.now
    for _ in range(5):
        leader.hears(EMPTY)
    last = heard(leader)
    auditor, advisories = successor(last, leader)
    advisories.outbox.published = 1
    assert advisories.has_told
    await catch_up(state, AGENT, auditor, advisories, last, now)
    assert opened(auditor) == set()


async def test_what_it_was_about_to_tell_before_another_agent_led_is_dropped():
    leader = led()
    state = saved(leader)
    auditor, advisories = successor(heard(leader), leader)
    advisories.outbox.put(tell(leader.told[0])[1])
    advisories.add(leader.told, AGENT)
    assert await inherit(state, AGENT, auditor, advisories, None, leader.now)
    assert (list(advisories.outbox.waiting), list(advisories.untold)) == ([], [])
    assert opened(auditor) == opened(leader.auditor)
