"""Who leads where there is a lease, and while nobody can tell who has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

from kit.keeping import KEEP, Kept, keeper, kept
from kit.told import heartbeat
from nats_insights import subjects
from nats_insights.agent.election import Deposed, Election
from nats_insights.agent.lease import PATIENCE, SAFE, TTLS_AWAY, Lease
from nats_insights.agent.peers import Peers
from nats_insights.agent.reign import boot_clock
from nats_insights.connection.client import Client
from nats_insights.tell.messages import AgentInfo, Heartbeat

pytestmark = pytest.mark.live

TTL = 60.0
SILENT = 3600.0


class Clock:
    """The clock of the machine, and what was slept on top."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return boot_clock() + self.ahead


@pytest.fixture
async def there(start_server: Any) -> AsyncIterator[Kept]:
    async with kept(keeper(start_server("n1", **KEEP))) as there:
        await there.make(lease=TTL)
        yield there


def said(name: str, role: str, **more: Any) -> Heartbeat:
    agent = AgentInfo(id=name, instance=f"{name}-1", version="1", epoch=1, role=role)  # type: ignore[arg-type]
    return heartbeat(agent=agent, silent_after_seconds=SILENT, **more)


async def hears(election: Election, beat: Heartbeat) -> None:
    """Another agent says this."""
    subject = subjects.heartbeat(beat.agent.id)
    message = Msg(_client=None, subject=subject, data=msgspec.json.encode(beat))  # type: ignore[arg-type]
    await election.peers.hear(message)


class Own:
    """One agent: its election, on this machine's clock and what was slept on top."""

    def __init__(self, name: str, client: Callable[[], Client | None]) -> None:
        self.clock = Clock()
        self.lease = Lease(client, "", name, f"{name}-1", self.clock)
        self.election = Election(Peers(f"{name}-1"), self._beat, lambda: True)
        self.election.reign.clock = self.clock
        self.election.use(self.lease)
        self.name = name

    async def _beat(self, client: Client, claims: bool = False) -> Heartbeat:
        self.election.said = beat = said(self.name, self.election.role, claims=claims, warm=True)
        self.election.reign.said(SILENT, self.clock())
        return beat


@pytest.fixture
def own(there: Kept) -> Own:
    return Own("a", lambda: there.client)


@pytest.fixture
def away() -> Own:
    """An agent whose second connection is away."""
    return Own("a", lambda: None)


async def test_one_of_two_that_do_not_hear_each_other_leads(there, own):
    other = Own("b", lambda: there.client)
    assert await own.election.claim(there.client, 1.0)
    assert not await other.election.claim(there.client, 1.0)
    assert (own.election.holds, own.election.may_tell) == (True, True)
    assert (other.election.holds, other.election.may_tell) == (False, False)
    assert own.election.term == own.lease.revision
    assert other.election.term is None
    assert other.election.left > 0


async def test_who_has_the_lease_yields_to_nobody_and_who_lost_it_yields(there, own):
    assert await own.election.claim(there.client, 1.0)
    await hears(own.election, said("old", "leader"))
    await own.election.confirm(there.client, 1.0)
    own.clock.ahead = SAFE * TTL
    assert not own.election.holds
    with pytest.raises(Deposed):
        await own.election.confirm(there.client, 1.0)
    assert not own.election.leads


async def test_nobody_takes_the_lease_beside_one_who_leads_without(there, own):
    await hears(own.election, said("old", "leader"))
    assert not await own.election.claim(there.client, 1.0)
    assert await Own("b", lambda: there.client).lease.take()


async def test_a_leader_whose_lease_is_free_is_followed_at_once(there, own):
    await hears(own.election, said("old", "leader", lease=1))
    await own.lease._tried(own.lease._look)
    assert own.election.left <= 0
    assert await own.election.claim(there.client, 1.0)


async def test_a_leader_goes_on_if_nobody_had_the_lease_in_between(there, own):
    assert await own.election.claim(there.client, 1.0)
    revision = own.lease.revision
    own.clock.ahead = SAFE * TTL
    await own.election.confirm(there.client, 1.0)
    assert (own.election.holds, own.election.term) == (True, revision)


async def test_while_nobody_answers_heartbeats_decide_after_a_while(there, away):
    assert away.election.left > 0
    away.clock.ahead = PATIENCE
    assert away.election.left <= 0
    assert await away.election.claim(there.client, 1.0)
    assert (away.election.holds, away.election.may_tell, away.election.term) == (True, True, None)
    await hears(away.election, said("b", "leader", lease=5))
    with pytest.raises(Deposed, match="agent b leads, and comes first"):
        await away.election.confirm(there.client, 1.0)


async def test_who_may_not_hear_another_one_does_not_lead_without_the_lease(there, away):
    away.clock.ahead = PATIENCE
    assert await away.election.claim(there.client, 1.0)
    away.election.apart = True
    await away.election.confirm(there.client, 1.0)  # There is nobody else.
    await hears(away.election, said("b", "stopped"))
    with pytest.raises(Deposed, match="who has it may not be heard here"):
        await away.election.confirm(there.client, 1.0)
    away.election.step_down()
    assert away.election.left > SILENT / 2
    away.clock.ahead += SILENT
    assert away.election.left <= 0
    assert await away.election.claim(there.client, 1.0)
    assert not away.election.apart


async def test_who_has_the_lease_leads_whatever_it_sees(there, own):
    await hears(own.election, said("b", "stopped"))
    assert await own.election.claim(there.client, 1.0)
    own.election.apart = True
    await own.election.confirm(there.client, 1.0)


@pytest.mark.parametrize("alone", [True, False])
async def test_an_isolated_agent_lets_others_have_the_lease(there, own, alone):
    assert await own.election.claim(there.client, 1.0)
    if not alone:
        await hears(own.election, said("b", "stopped"))
    own.election.lapse()
    other = Own("b", lambda: there.client)
    async with other.lease.running(lambda: True):
        other.lease.waive()  # It takes the lease as soon as that is free.
        if alone:
            await own.election.confirm(there.client, 1.0)
            assert own.lease.holds
        else:
            with pytest.raises(Deposed):
                await own.election.confirm(there.client, 1.0)
            assert other.lease.holds


async def test_a_leader_that_lost_jetstream_waits_until_others_had_their_turn(there):
    client: Client | None = there.client
    own = Own("a", lambda: client)
    assert await own.election.claim(there.client, 1.0)
    client = None
    await own.lease._tried(own.lease._renew)
    own.clock.ahead = SAFE * TTL
    assert (own.election.holds, own.lease.waivable) == (False, False)
    own.clock.ahead = TTLS_AWAY * TTL
    await own.election.confirm(there.client, 1.0)
    assert (own.election.holds, own.election.term) == (True, None)
