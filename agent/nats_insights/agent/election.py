"""Whether this agent leads: by what it hears of the others, and by its own clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import nats.errors

from nats_insights import subjects
from nats_insights.agent.peers import Peers, leads, rank
from nats_insights.agent.reign import Reign
from nats_insights.connection.client import Client
from nats_insights.tell import advisory
from nats_insights.tell.messages import Heartbeat, Role
from nats_insights.text import plain

log = logging.getLogger(__name__)

# Seconds between the claims of two agents that stand by, so that mostly only the first one claims.
_APART = 0.3


class Deposed(Exception):
    """Another agent leads, or this one was silent for so long that one may."""


class Election:
    """The role of one agent among its peers; `said` is its last heartbeat.

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
        self._beat, self._is_warm = beat, is_warm

    @property
    def leads(self) -> bool:
        """Whether this agent took the lead, and was not deposed yet."""
        return self.role == "leader"

    @property
    def left(self) -> float:
        """Seconds until no other agent is there that comes first, not positive if none is."""
        return self.peers.left(warm=self._is_warm())

    @property
    def turn(self) -> float:
        """Seconds that this agent lets those pass that come before it among the standbys."""
        return 0.0 if self.said is None else _APART * self.peers.place(self.said)

    async def listen(self, client: Client) -> None:
        """Hear the other agents, for as long as the connection lasts."""
        self.peers.on_claim = partial(self._object, client)
        await self.peers.listen(client)

    async def claim(self, client: Client, timeout: float) -> bool:
        """Whether this agent leads from now on: nobody objects, and nobody who claims comes first.

        Claims cross while they are on their way, so each agent listens before it leads.
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
        self.role = "leader"
        self.reign.begin(time.time())
        return True

    async def confirm(self, client: Client, timeout: float) -> None:
        """Deposed if another agent leads; one that was silent for too long looks first."""
        if self.reign.holds:
            other = self.said and self.peers.before(self.said)
            if other is None:
                return
            raise Deposed(f"agent {plain(other.agent.id)} leads, and comes first")
        log.debug("another agent may lead by now")
        self.step_down()
        if not await self.claim(client, timeout):
            raise Deposed("another agent leads by now")

    def step_down(self, role: Role = "standby") -> None:
        """This agent leads no more."""
        self.role = role
        self.reign.end()

    async def _object(self, client: Client, claim: Heartbeat) -> None:
        """Repeat our last heartbeat to an agent that claims and ranks behind it.

        Such an agent may have started after our claim, or while nobody answers its ping and yet
        there are others that know more.
        """
        said = self.said
        if said is None or rank(claim) <= rank(said) or (leads(said) and not self.reign.holds):
            return
        message = advisory.heartbeat_message(said)
        with suppress(nats.errors.Error):
            await client.publish(message.subject, message.payload, headers=message.headers)
