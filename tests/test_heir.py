"""What a standby keeps of what the leader tells: all of it, and nothing that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import nats.errors
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from kit.published import BY_CODE, tell
from nats_insights.agent import heir as module
from nats_insights.agent.heir import Heir
from nats_insights.facts import Access, Cost
from nats_insights.model.roster import Roster
from nats_insights.tell import queries
from nats_insights.tell.advisory import at, brief, counts
from nats_insights.tell.messages import Advisory, AgentInfo, Heartbeat
from nats_insights.tell.view import View
from scenario import Server, Story, cluster, system

LEADER = AgentInfo(id="a", instance=32 * "a", version="1", epoch=7, role="leader")
MIB = 1024 * 1024


class Leader:
    """The leader, as a client that asks it: it answers as it does, without a server between."""

    def __init__(self, users: int = 3) -> None:
        self.story = Story()
        self.users = users
        self.slow = 0
        self.asked = 0
        self.answers: Callable[[], Awaitable[None]] | None = None
        self.agent = LEADER
        self.limit = MIB

    def hears(self, clients: int) -> list[Advisory]:
        """What it tells when so many clients of each user are on n1."""
        users = {f"APP u{number}": clients for number in range(self.users)}
        self.story.hears(system(cluster("EU", n1=Server(users=users), n2=1)))
        return [replace(tell(told)[0], agent=self.agent) for told in self.story.told]

    async def request(self, subject: str, body: bytes, timeout: float) -> Msg:
        self.asked += 1
        access = Access(mode="system", account="SYS", user="agent")
        view = View.of(self.story.auditor, self.agent, access, Cost(), self.limit)
        reply = queries.answer(view, subject.rpartition(".")[2], body)
        if self.answers is not None:
            await self.answers()
        return Msg(_client=None, subject="", data=reply)

    @property
    def beat(self) -> Heartbeat:
        auditor = self.story.auditor
        return Heartbeat(
            id=32 * "0",
            timestamp=at(self.story.now),
            agent=self.agent,
            coverage=brief(auditor.snapshot.coverage),
            interval_seconds=30.0,
            silent_after_seconds=100.0,
            leading_since=None,
            open=counts(auditor.lives.values()),
            cost=Cost(),
        )


def following() -> Heir:
    return Heir(BY_CODE.values(), Roster(), lambda instance: instance == LEADER.instance)


async def hear(heir: Heir, *said: Advisory) -> None:
    for one in said:
        await heir.hear(Msg(_client=None, subject="", data=msgspec.json.encode(one)))


def users(heir: Heir) -> set[str]:
    return {life.key.names[-1] for life in heir.lives}


async def asked(leader: Leader) -> Heir:
    heir = following()
    await heir.keep_up(leader, leader.beat)
    assert heir.warm
    return heir


# --- Hearing.


async def test_what_opens_is_kept_and_what_ends_is_not():
    leader, heir = Leader(), following()
    await hear(heir, *leader.hears(150))
    assert users(heir) == {"u0", "u1", "u2"}
    leader.hears(1)
    await hear(heir, *leader.hears(1))
    assert heir.lives == []


async def test_the_last_word_counts_and_not_what_arrives_late():
    leader, heir = Leader(users=1), following()
    first = leader.hears(150)
    later = leader.hears(300)
    assert [said.transition for said in later] == ["updated"]
    await hear(heir, *later, *first, *later)
    assert [(life.revision, life.value) for life in heir.lives] == [(2, 300)]


@pytest.mark.parametrize("what", [b"", b"[]", b'{"state": "open"}', 3000 * b"["])
async def test_what_cannot_be_read_changes_nothing(what):
    heir = following()
    await heir.hear(Msg(_client=None, subject="", data=what))
    assert heir.lives == []


async def test_nobody_else_is_heard():
    leader, heir = Leader(), following()
    leader.agent = replace(LEADER, instance=32 * "b")
    await hear(heir, *leader.hears(150))
    assert heir.lives == []


async def test_what_it_keeps_has_a_bound(monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    leader, heir = Leader(), following()
    await hear(heir, *leader.hears(150))
    assert len(heir.lives) == 2
    await hear(heir, *leader.hears(300))
    assert {life.revision for life in heir.lives} == {2}


# --- Asking.


async def test_it_asks_for_all_findings_and_servers():
    leader = Leader()
    leader.hears(150)
    heir = await asked(leader)
    assert users(heir) == {"u0", "u1", "u2"}
    assert [entry.name for entry in heir._roster] == ["n1", "n2"]


async def test_it_asks_page_by_page():
    leader = Leader(users=40)
    leader.hears(150)
    leader.limit = 16 * 1024
    heir = await asked(leader)
    assert len(heir.lives) == 40
    assert leader.asked > 3


async def test_it_does_not_ask_while_it_has_what_the_leader_counts():
    leader = Leader()
    leader.hears(150)
    heir = await asked(leader)
    before = leader.asked
    await hear(heir, *leader.hears(300))
    await heir.keep_up(leader, leader.beat)
    assert leader.asked == before
    assert {entry.last_seen for entry in heir._roster} == {leader.story.now}


MISSED = {
    "an advisory was lost": lambda leader: leader.hears(150),
    "a server joined": lambda leader: leader.story.hears(system(cluster("EU", n1=1, n2=1, n3=1))),
    "messages were dropped": lambda leader: setattr(leader, "slow", 1),
}


@pytest.mark.parametrize("what", MISSED)
async def test_it_asks_again_when(what):
    leader = Leader()
    leader.hears(1)
    heir = await asked(leader)
    before = leader.asked
    MISSED[what](leader)
    await heir.keep_up(leader, leader.beat)
    assert leader.asked == before + 2
    assert len(heir.lives) == leader.beat.open.warning
    assert len(heir._roster) == leader.beat.coverage.servers_known
    await heir.keep_up(leader, leader.beat)
    assert leader.asked == before + 2


async def test_what_is_heard_while_pages_come_is_not_undone_by_them():
    leader, heir = Leader(), following()
    leader.hears(150)
    leader.hears(1)
    resolved = leader.hears(1)
    again = Leader()
    again.hears(150)

    async def meanwhile() -> None:
        again.answers = None
        await hear(heir, *resolved)

    again.answers = meanwhile
    await heir.keep_up(again, again.beat)
    assert heir.lives == []


async def test_what_is_heard_while_pages_come_has_a_bound(monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    leader, heir = Leader(), following()
    heard = leader.hears(150)
    leader.hears(1)
    leader.hears(1)
    most: list[int] = []

    async def meanwhile() -> None:
        await hear(heir, *heard)
        most.append(len(heir._news or ()))

    leader.answers = meanwhile
    await heir.keep_up(leader, leader.beat)
    assert set(most) == {2}


async def test_a_leader_that_does_not_answer_is_asked_more_and_more_rarely():
    leader, heir = Leader(), following()

    async def refuse() -> None:
        raise nats.errors.TimeoutError

    leader.answers = refuse
    asked_at = []
    for number in range(40):
        before = leader.asked
        await heir.keep_up(leader, leader.beat)
        asked_at += [number] * (leader.asked - before)
    assert asked_at == [0, 1, 3, 7, 15, 31]
    assert not heir.warm


async def test_an_answer_of_another_agent_is_not_taken():
    leader, heir = Leader(), following()
    leader.hears(150)
    leader.agent = replace(LEADER, instance=32 * "b")
    await heir.keep_up(leader, None)
    assert (heir.warm, heir.lives) == (False, [])


async def test_one_of_another_version_is_counted_though_it_cannot_be_gone_on_with():
    leader = Leader()
    leader.hears(150)
    heir = Heir([], Roster(), lambda _: True)
    await heir.keep_up(leader, leader.beat)
    before = leader.asked
    await heir.keep_up(leader, leader.beat)
    assert (heir.warm, heir.lives, leader.asked) == (True, [], before)


async def test_whoever_leads_keeps_nothing():
    leader = Leader()
    leader.hears(150)
    heir = await asked(leader)
    await heir.leave()
    assert (heir.warm, heir.lives, heir.listens) == (False, [], False)


async def test_its_last_word_is_whole_if_the_leader_counts_as_many_findings():
    leader, heir = Leader(), following()
    assert heir.last_word is None
    said = leader.hears(200)
    await heir.keep_up(leader, leader.beat)
    assert heir.last_word.whole
    assert len(heir.last_word.lives) == len(said)
    said = leader.hears(1)
    said += leader.hears(1)
    heir.leader = leader.beat
    assert not heir.last_word.whole
    await hear(heir, *said)
    assert heir.last_word.whole
    assert heir.last_word.lives == []
