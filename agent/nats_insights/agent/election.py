"""Whether this agent leads: by what it hears of the others, its own clock, and a lease.

Heartbeats decide who may lead. Where there is a bucket for it, nobody leads without the lease too.
While JetStream does not answer, heartbeats decide alone; but not for an agent that knows of others
and cannot reach a server that others reach: it would not hear who has the lease.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import nats.errors

from nats_insights import subjects
from nats_insights.agent.lease import POLL, Lease
from nats_insights.agent.peers import Peers, leads, rank
from nats_insights.agent.reign import Reign
from nats_insights.connection.client import Client
from nats_insights.tell import advisory
from nats_insights.tell.messages import Heartbeat, Role
from nats_insights.text import plain

log = logging.getLogger(__name__)

# Seconds between the claims of two agents that stand by, so that mostly only the first one claims.
_APART = 0.3
# Seconds in which others take the lease that an isolated agent gave up.
_YIELD = 2.0


class Deposed(Exception):
    """Another agent leads, or this one was silent for so long that one may."""


class Election:
    """The role of one agent among its peers; `said` is its last heartbeat.

    `lease` is None where there is no second connection. `apart` is set after each epoch: whether it
    showed servers that others reach and this agent does not, or too few servers to be sure.

    `beat` publishes a heartbeat, one that claims to lead if it is called with True; `is_warm` says
    whether this agent knows what was told last.
    """

    def __init__(
        self,
        peers: Peers,
        beat: Callable[[Client, bool], Awaitable[Heartbeat]],
        is_warm: Callable[[], bool],
    ) -> None:
        self.peers = peers
        self.reign = Reign()
        self.role: Role = "standby"
        self.said: Heartbeat | None = None
        self.lease: Lease | None = None
        self.apart = False
        # Until when not to lead, by the clock of the reign, and whether to let others lead first.
        self._barred_until, self._yields = float("-inf"), False
        self._beat, self._is_warm = beat, is_warm

    @property
    def leads(self) -> bool:
        """Whether this agent took the lead, and was not deposed yet."""
        return self.role == "leader"

    @property
    def holds(self) -> bool:
        """Whether nobody else may lead."""
        return self.reign.holds and (self.lease is None or self.lease.grants)

    @property
    def may_tell(self) -> bool:
        """Whether advisories may be published now, as far as a lease decides."""
        return self.lease is None or self.lease.standing == "none" or self.holds

    @property
    def unleased(self) -> str:
        """Why this agent cannot use the lease, "" if it can, need not, or is not connected."""
        lease = self.lease
        return lease.problem if lease and lease.connected and not lease.holds else ""

    @property
    def term(self) -> int | None:
        """What numbers the reign of a leader that has the lease."""
        return self.lease.revision if self.lease and self.leads and self.lease.holds else None

    @property
    def left(self) -> float:
        """Seconds until no other agent is there that comes first, not positive if none is.

        Look again after these seconds, or when `peers.changed` is set.
        """
        left = self.peers.left(warm=self._is_warm())
        left = max(left, self._barred_until - self.reign.clock())
        if self.lease and (self.lease.standing == "taken" or self._waits_for(self.lease)):
            return max(left, POLL)
        return left

    @property
    def turn(self) -> float:
        """Seconds that this agent lets those pass that come before it among the standbys."""
        return 0.0 if self.said is None else _APART * self.peers.place(self.said)

    async def listen(self, client: Client) -> None:
        """Hear the other agents, for as long as the connection lasts."""
        self.peers.on_claim = partial(self._object, client)
        await self.peers.listen(client)

    def use(self, lease: Lease) -> None:
        """From now on only who has this lease leads."""
        self.lease = lease
        self.peers.holder = lambda: lease.holder
        lease.on_change = self.peers.changed.set

    async def ready(self, client: Client) -> None:
        """Wait until it is known whether there is a lease, for some seconds at most."""
        while self.lease and self._waits_for(self.lease) and not client.closed.is_set():
            self.peers.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self.peers.changed.wait()

    async def claim(self, client: Client, timeout: float) -> bool:
        """Whether this agent leads from now on: nobody objects, and nobody who claims comes first.

        Claims cross while they are on their way, so each agent listens before it leads. Where there
        is a lease, it is taken last.
        """
        claim = await self._beat(client, True)
        if not (other := await self.peers.ask(client, claim.silent_after_seconds)):
            # All that the server has received by now is read before its reply.
            await client.request(subjects.USER_INFO, timeout=timeout)
            before = self.peers.before(claim)
            other = before.agent.id if before is not None else ""
        if other:
            log.info("agent %s comes first: standing by", plain(other))
            return False
        if self.lease is not None and not await self._takes(self.lease, client):
            return False
        self.role, self.apart = "leader", False
        self.reign.begin(time.time())
        return True

    async def confirm(self, client: Client, timeout: float) -> None:
        """Deposed if another agent leads; one that was silent for too long looks first."""
        if self.holds:
            if self.lease is not None and self.lease.holds:
                return
            if self._may_not_hear(self.lease):
                self._barred_until = self.reign.clock() + self._patience
                raise Deposed("the lease cannot be had, and who has it may not be heard here")
            other = self.said and self.peers.before(self.said)
            if other is None:
                return
            raise Deposed(f"agent {plain(other.agent.id)} leads, and comes first")
        log.debug("another agent may lead by now")
        self.step_down()
        await self._let_others_lead()
        if not await self.claim(client, timeout):
            raise Deposed("another agent leads by now")

    def lapse(self) -> None:
        """This agent may see less than others: let them lead."""
        self.reign.lapse()
        self._yields = True

    def step_down(self, role: Role = "standby") -> None:
        """This agent leads no more."""
        self.role = role
        self.reign.end()
        if self.lease is not None:
            self.lease.waived = False

    async def release(self) -> None:
        """Let another agent lead at once."""
        if self.lease is not None:
            await self.lease.release()

    async def _let_others_lead(self) -> None:
        """Whoever saw more of the system takes the lease before an agent that was isolated."""
        yields, self._yields = self._yields, False
        if yields and self.lease is not None and not self.peers.alone:
            await self.lease.release()
            await asyncio.sleep(_YIELD)

    async def _takes(self, lease: Lease, client: Client) -> bool:
        """Whether this agent got the lease, or may lead without; waits while nobody answers."""
        while (took := await lease.take()) is None:
            if client.closed.is_set() or self.peers.leader() is not None:
                return False
            if lease.waivable:
                lease.waive()
                log.warning("%s; heartbeats decide who leads", lease.problem)
                return True
            await asyncio.sleep(POLL)
        if not took:
            log.info("another agent has the lease: standing by")
        return took

    def _waits_for(self, lease: Lease) -> bool:
        """Whether it may be known in a moment who has it."""
        return lease.standing == "away" and not lease.waivable

    def _may_not_hear(self, lease: Lease | None) -> bool:
        """Whether another agent may have the lease that would not be heard."""
        return (
            lease is not None and lease.standing == "away" and self.apart and not self.peers.alone
        )

    @property
    def _patience(self) -> float:
        """Seconds for which this agent does not lead because it may not hear who does."""
        return self.said.silent_after_seconds if self.said is not None else 0.0

    async def _object(self, client: Client, claim: Heartbeat) -> None:
        """Repeat our last heartbeat to an agent that claims and ranks behind it.

        Such an agent may have started after our claim, or while nobody answers its ping and yet
        there are others that know more.
        """
        said = self.said
        if said is None or rank(claim) <= rank(said) or (leads(said) and not self.holds):
            return
        message = advisory.heartbeat_message(said)
        with suppress(nats.errors.Error):
            await client.publish(message.subject, message.payload, headers=message.headers)
