"""What an agent makes of the heartbeats of others."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.agent.peers import MOST, Peers, rank
from nats_insights.facts import Cost, Coverage
from nats_insights.tell.messages import AgentInfo, Heartbeat, OpenCounts

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)


def beat(
    epoch: int,
    seconds: float = 0.0,
    *,
    role: str = "leader",
    patience: float = 3600.0,
    of: str = "other",
    version: str = "1",
    **more: Any,
) -> Heartbeat:
    """A heartbeat of instance `of`, so many seconds after noon."""
    members = {
        "id": 32 * "0",
        "timestamp": NOW + timedelta(seconds=seconds),
        "agent": AgentInfo(id=of, instance=of, version=version, epoch=epoch, role=role),
        "coverage": Coverage(servers_known=1, servers_answered=1, missing=[]),
        "interval_seconds": 30.0,
        "silent_after_seconds": patience,
        "leading_since": NOW if role == "leader" else None,
        "open": OpenCounts(),
        "cost": Cost(),
    }
    return Heartbeat(**members | more)


async def after(*beats: Heartbeat) -> Peers:
    """What an agent knows that heard these, one after another."""
    peers = Peers("own")
    for one in beats:
        subject = subjects.heartbeat(one.agent.id)
        await peers.hear(Msg(_client=None, subject=subject, data=msgspec.json.encode(one)))
    return peers


def of_shard(name: str, said: Heartbeat) -> Heartbeat:
    """The same of an agent that looks at another part of the system."""
    return replace(said, agent=replace(said.agent, shard=name))


LATER = beat(18, 60)
HEARD = {
    "one that leads": ([LATER], LATER),
    "one of another shard": ([of_shard("us", LATER)], None),
    "one that stands by": ([beat(0, 60, role="standby")], None),
    "one that claims to lead": ([beat(0, 60, role="standby", claims=True)], None),
    "itself": ([beat(18, 60, of="own")], None),
    "one that has been silent for longer than it said": ([beat(18, 60, patience=0.0)], None),
    "an older one, which a server had held back": ([LATER, beat(8, 30)], LATER),
    "an older one of somebody who stopped": ([beat(18, 60, role="stopped"), beat(17, 59)], None),
    "an older one of somebody who is silent": (
        [beat(18, 60, patience=0.0), beat(17, 59)],
        None,
    ),
    "the last word, which counts no further epoch": ([LATER, beat(18, 61, role="stopped")], None),
    "a later epoch though the clock was set back": ([LATER, beat(19, 5)], beat(19, 5)),
    "another instance, which begins anew": (
        [beat(18, 60, role="stopped"), beat(1, 61, of="new")],
        beat(1, 61, of="new"),
    ),
}


@pytest.mark.parametrize(("beats", "leader"), HEARD.values(), ids=HEARD)
async def test_who_leads(beats, leader):
    peers = await after(*beats)
    assert peers.leader() == leader
    assert peers.leads("other") == (leader is not None and leader.agent.instance == "other")


def since(seconds: float, **more: Any) -> Heartbeat:
    return beat(1, leading_since=NOW + timedelta(seconds=seconds), **more)


# The first comes before all others, and so on.
IN_ORDER = [
    since(-60, of="z"),
    since(0, of="a"),
    since(0, of="b"),
    beat(1, of="c", leading_since=None),
    beat(0, of="y", role="standby", claims=True, warm=True),
    beat(0, of="z2", role="standby", claims=True, warm=True),
    beat(0, of="x", role="standby", warm=True),
    beat(0, of="d", role="standby", claims=True),
    beat(0, of="e", role="standby", claims=True),
    beat(0, of="f", role="standby"),
    beat(9, of="a2", role="stopped", warm=True),
]


def test_all_agents_rank_all_alike():
    mixed = IN_ORDER[1::2] + IN_ORDER[::2]
    assert sorted(mixed, key=rank) == IN_ORDER


@pytest.mark.parametrize("own", IN_ORDER, ids=lambda own: own.agent.instance)
async def test_an_agent_yields_to_those_that_come_first(own):
    others = [one for one in IN_ORDER if one is not own]
    peers = await after(*others)
    assert peers.before(own) == (others[0] if own is not IN_ORDER[0] else None)
    assert peers.place(own) == IN_ORDER.index(own)


async def test_those_that_know_no_more_and_claim_nothing_stop_nobody():
    claim = {"of": "own", "role": "standby", "claims": True}
    peers = await after(*IN_ORDER[9:])
    assert peers.before(beat(0, **claim)) is None
    assert peers.left(warm=False) == 0
    peers = await after(IN_ORDER[6])
    assert peers.before(beat(0, **claim)) == IN_ORDER[6]
    assert peers.before(beat(0, **claim, warm=True)) is None
    assert (peers.left(warm=False) > 0, peers.left(warm=True)) == (True, 0)


def again(seconds: float, of: str, **more: Any) -> Heartbeat:
    """A heartbeat of this instance of the agent "x"."""
    made = beat(1, seconds, of=of, **more)
    return msgspec.structs.replace(made, agent=msgspec.structs.replace(made.agent, id="x"))


async def test_a_leader_that_was_started_again_leads_no_more():
    first, second = again(0, "one"), again(1, "two", role="standby", claims=True)
    peers = await after(first, second)
    assert peers.leader() is None
    assert peers.left(warm=True) == 0
    # A server that was frozen delivers what the first process said.
    peers = await after(second, first)
    assert peers.leader() is None
    assert peers.left(warm=False) > 0


async def test_each_claim_is_told_and_nothing_else():
    heard = []

    async def hear(claim: Heartbeat) -> None:
        heard.append(claim)

    peers = Peers("own")
    peers.on_claim = hear
    claim = beat(0, 1, role="standby", claims=True)
    for one in (beat(0, role="standby"), claim, claim, beat(1, 2)):
        await peers.hear(Msg(_client=None, subject="", data=msgspec.json.encode(one)))
    assert heard == [claim]


@pytest.mark.parametrize("claims", [True, False])
async def test_how_long_to_wait_for_whoever_leads_or_claims(claims):
    role = "standby" if claims else "leader"
    peers = await after(
        beat(1, patience=1000.0, role=role, claims=claims),
        beat(1, of="longer", patience=5000.0, role="standby"),
    )
    assert 900 < peers.left(warm=False) <= 1000
    peers = await after(beat(1, role=role, claims=claims), beat(1, 1, role="standby"))
    assert peers.left(warm=False) == 0


async def test_an_agent_that_knows_the_findings_need_not_wait_for_one_that_does_not():
    for warm, theirs, waits in [(True, True, True), (True, False, False), (False, False, True)]:
        peers = await after(beat(1, role="standby", claims=True, warm=theirs))
        assert (peers.left(warm=warm) > 0) == waits
    peers = await after(beat(1))
    assert peers.left(warm=True) > 0


class Answering:
    """A connection on which a leader answers a ping at once."""

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, subject: str, cb: Any) -> Answering:
        self.hear = cb
        return self

    async def publish(self, subject: str, payload: bytes, reply: str) -> None:
        pong = {"metadata": {"id": "other", "instance": "other", "role": "leader"}}
        await self.hear(Msg(_client=None, subject=reply, data=msgspec.json.encode(pong)))

    async def unsubscribe(self) -> None:
        pass


async def test_a_leader_that_answers_counts_as_there_until_its_first_heartbeat():
    peers = Peers("own")
    assert await peers.ask(Answering(), patience=1000.0) == "other"
    assert peers.leads("other")
    assert 900 < peers.left(warm=True) <= 1000
    last_word = beat(3, role="stopped")
    await peers.hear(Msg(_client=None, subject="", data=msgspec.json.encode(last_word)))
    assert not peers.leads("other")
    assert peers.left(warm=True) == 0


async def test_the_one_that_was_silent_for_longest_makes_room():
    peers = await after(LATER, *(beat(1, of=f"n{n}", role="standby") for n in range(MOST)))
    assert peers.leader() is None


OWN = beat(0, of="own", role="standby", configuration="c0ffee")
ALIKE = {
    "an agent like this one": ([{}], []),
    "another version": (
        [{"version": "2"}],
        ["agent other is of version 2, this one of 1: update one"],
    ),
    "another configuration": (
        [{"configuration": "decade"}],
        [
            "agent other has another configuration than this one: give both the same, or what is "
            "found depends on which of them leads"
        ],
    ),
    "of another version the configuration says nothing": (
        [{"version": "2", "configuration": "decade"}],
        ["agent other is of version 2, this one of 1: update one"],
    ),
    "a name that would move the cursor": (
        [{"of": "a\x1b[2J", "version": "\r2"}],
        ["agent a\\x1b[2J is of version \\r2, this one of 1: update one"],
    ),
    "one that has stopped": ([{"version": "2", "patience": 0.0}], []),
}


@pytest.mark.parametrize(("others", "said"), ALIKE.values(), ids=ALIKE)
async def test_agents_that_are_not_alike_are_named(others, said):
    peers = await after(*(beat(1, **{"configuration": "c0ffee"} | one) for one in others))
    assert peers.differences(OWN) == said
    assert peers.differences(OWN) == []


async def test_each_difference_is_named_once_and_all_of_them_are_bounded():
    peers = Peers("own")
    said = []
    for number in itertools.chain(range(2 * MOST), range(10)):
        data = msgspec.json.encode(beat(1, number, of=f"n{number}", version=f"2.{number}"))
        await peers.hear(Msg(_client=None, subject="", data=data))
        said += peers.differences(OWN)
    assert len(said) == len(set(said)) == MOST


# When heartbeats were heard and sent, in seconds, of an agent with a patience of ten.
HELD_BACK = {
    "sent when it was heard": ([(0, 0), (30, 30)], True),
    "held back for less than its patience": ([(0, 0), (30, 20.1)], True),
    "held back for as long as its patience": ([(0, 0), (30, 20)], False),
    "held back, and then one in time": ([(0, 0), (30, 1), (31, 31)], True),
    "by a clock that is an hour ahead": ([(0, 3600), (30, 3630)], True),
    "by a clock that was set ahead": ([(0, 0), (30, 3630)], True),
    "by a clock that was set back": ([(0, 0), (30, -3570)], True),
}


@pytest.mark.parametrize(("times", "leads"), HELD_BACK.values(), ids=HELD_BACK)
async def test_a_heartbeat_counts_from_when_it_was_sent(times, leads, monkeypatch):
    peers = Peers("own")
    for epoch, (heard, sent) in enumerate(times):
        monkeypatch.setattr("nats_insights.agent.peers.time.monotonic", lambda at=heard: at)
        said = msgspec.json.encode(beat(epoch, sent, patience=10.0))
        await peers.hear(Msg(_client=None, subject="x", data=said))
    assert (peers.leader() is not None) is leads


def led(of: str, lease: int | None, **more: Any) -> Heartbeat:
    """A leader, by the lease that it took with this revision, or without."""
    return beat(1, of=of, lease=lease, **more)


def test_a_leader_with_the_lease_comes_first_and_of_two_the_one_that_took_it_later():
    ranked = sorted([led("a", None), led("b", 7), led("c", 12), led("d", None)], key=rank)
    assert [one.agent.id for one in ranked] == ["c", "b", "a", "d"]


@pytest.mark.parametrize(
    ("lease", "holder", "there"),
    [
        (7, None, True),
        (7, "a", True),
        (7, "", False),
        (7, "b", False),
        (0, "", False),
        (None, None, True),
        (None, "", True),
        (None, "b", True),
    ],
)
async def test_a_leader_whose_lease_is_over_does_not_count(lease, holder, there):
    peers = await after(beat(1, of="a", lease=lease))
    peers.holder = lambda: holder
    own = beat(1, role="standby", claims=True, of="own", warm=True)
    assert (peers.leader() is not None) == there
    assert peers.leads("a") == there
    assert (peers.before(own) is not None) == there
    assert peers.place(own) == int(there)
    assert (peers.left(warm=True) > 0) == there


async def test_a_standby_counts_whoever_has_the_lease():
    peers = await after(beat(1, of="a", role="standby", lease=None, warm=True))
    peers.holder = lambda: "b"
    assert peers.left(warm=False) > 0


async def test_who_never_heard_another_agent_is_alone():
    assert Peers("own").alone
    assert not (await after(beat(1, role="stopped"))).alone


@pytest.mark.parametrize(("holder", "counts"), [(None, True), ("a", True), ("", False)])
def test_who_answered_a_ping_counts_until_its_lease_is_over(holder, counts):
    peers = Peers("own")
    peers._answered["a"] = time.monotonic() + 3600.0
    peers.holder = lambda: holder
    assert (peers.left(warm=True) > 0) == counts
