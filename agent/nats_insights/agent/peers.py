"""Peers: the other agents on this system, by their heartbeats, and which of all comes first.

Agents that keep no common state must not both publish: their ids would differ, and the two would
contradict each other. So one leads and the others stand by. Every agent ranks all of them alike,
by what their last heartbeats said:

    0. those that lead with the lease: the one that took it last
    1. those that lead without: the one that has led for longest
    2. those that know the findings of the leader, and claim to lead
    3. those that know them, and stand by
    4. those that do not, and claim to lead
    5. all others

Within each by instance. Agents of the first five come before one that claims, if they rank before
it. An agent that is silent for longer than it said does not count, nor does an earlier process of
one that was restarted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.agent.heard import UNREADABLE, ahead
from nats_insights.connection.client import Client
from nats_insights.tell.messages import AgentInfo, Heartbeat
from nats_insights.text import shortened

log = logging.getLogger(__name__)

MOST = 100
# Seconds in which another leader answers, and in which claims cross.
LISTEN = 0.5

Rank = tuple[int, float, str]


class _Pong(Struct):
    metadata: dict[str, str] | None = None


class _Peer(Struct):
    """An agent: its last heartbeat, and when it was sent by our clock.

    `offset` is what our clock is ahead of its own.
    """

    heartbeat: Heartbeat
    offset: float

    @property
    def heard(self) -> float:
        return _sent(self.heartbeat) + self.offset

    @property
    def left(self) -> float:
        """Seconds until it counts as gone, not positive if it does."""
        return self.heard + self.heartbeat.silent_after_seconds - time.monotonic()


class Peers:
    """The other agents. `changed` is set by each heartbeat of another one.

    `on_claim` is called with each claim: one that came before must be told to who claims later.
    """

    def __init__(self, instance: str, shard: str = "") -> None:
        self.instance = instance
        self.shard = shard  # An agent of another one is no rival.
        self.changed = asyncio.Event()
        self.on_claim: Callable[[Heartbeat], Awaitable[None]] = _ignore
        # The instance that has the lease, "" if none has, None where that is not known.
        self.holder: Callable[[], str | None] = lambda: None
        self._peers: dict[str, _Peer] = {}
        # Leaders that answered, by their instance, and until when they count as there.
        self._answered: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()

    async def listen(self, client: Client) -> None:
        """Subscribe to the heartbeats of others, for as long as the connection lasts."""
        await client.subscribe(f"{subjects.HEARTBEAT}.*", cb=self.hear)

    @property
    def alone(self) -> bool:
        """Whether no other agent was ever heard."""
        return not self._peers

    def leader(self) -> Heartbeat | None:
        """The heartbeat of another agent that leads, of several the one that has led longest."""
        return min((beat for beat in self._there() if leads(beat)), key=rank, default=None)

    def leads(self, instance: str) -> bool:
        """Whether the agent of this instance leads, by its heartbeat or since it answered."""
        return self._answering(instance) or any(
            leads(beat) and beat.agent.instance == instance for beat in self._there()
        )

    def before(self, own: Heartbeat) -> Heartbeat | None:
        """The first of all, if it comes before the agent that said `own`."""
        first = min(self._there(), key=rank, default=None)
        return first if first is not None and rank(first) < rank(own) else None

    def place(self, own: Heartbeat) -> int:
        """How many others come before the agent that said `own`."""
        return sum(1 for beat in self._there() if rank(beat) < rank(own))

    def left(self, *, warm: bool) -> float:
        """Seconds until all will be gone that come before a claim, not positive if there are none.

        The claim is that of an agent which is warm, or not.
        """
        peers = [peer for peer in self._peers.values() if not self._is_over(peer.heartbeat)]
        left = [peer.left for peer in peers if _is_ahead(peer.heartbeat, warm)]
        # Who answered a ping and lost its lease since has ended; who leads without answers again.
        holder = self.holder()
        answered = [at for name, at in self._answered.items() if holder in (None, name)]
        return max([*left, *(at - time.monotonic() for at in answered)], default=0)

    async def ask(self, client: Client, patience: float = 0.0) -> str:
        """The id of another leader that answers `$SRV.PING` within half a second, else "".

        It then counts as there for `patience` seconds, whether its heartbeats arrive or not.
        """
        found = asyncio.Event()
        leaders: list[str] = []

        async def hear(message: Msg) -> None:
            with suppress(*UNREADABLE):
                metadata = msgspec.json.decode(message.data, type=_Pong).metadata or {}
                instance = metadata.get("instance", "")
                rival = metadata.get("shard", "") == self.shard and instance != self.instance
                last = self._peers.get(instance)
                rival = rival and not (last and self._is_over(last.heartbeat))
                if metadata.get("role") == "leader" and rival:
                    leaders.append(metadata.get("id", "unnamed"))
                    now = time.monotonic()
                    there = {name: at for name, at in self._answered.items() if at > now}
                    self._answered = {**dict(list(there.items())[:MOST]), instance: now + patience}
                    found.set()

        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=hear)
        try:
            await client.publish(subjects.PING_SERVICE, b"", reply=inbox)
            with suppress(TimeoutError):
                async with asyncio.timeout(LISTEN):
                    await found.wait()
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
        return leaders[0] if leaders else ""

    async def hear(self, message: Msg) -> None:
        """Store a heartbeat; one that is older than the last of its instance is dropped."""
        try:
            heartbeat = msgspec.json.decode(message.data, type=Heartbeat)
        except UNREADABLE:
            return
        agent = heartbeat.agent
        instance = agent.instance
        if instance == self.instance or self._is_outdated(heartbeat):
            return
        if agent.shard != self.shard:
            return
        for name in self._others_of(agent):
            del self._peers[name]
        last = self._peers.get(instance)
        if last is not None and _order(heartbeat) <= _order(last.heartbeat):
            return
        if len(self._peers) >= MOST and instance not in self._peers:
            del self._peers[min(self._peers, key=lambda name: self._peers[name].heard)]
        before = None if last is None else (_sent(last.heartbeat), last.offset)
        offset = ahead(time.monotonic(), _sent(heartbeat), before)
        self._peers[instance] = _Peer(heartbeat, offset)
        self._answered.pop(instance, None)
        self.changed.set()
        if heartbeat.claims:
            await self.on_claim(heartbeat)

    def _others_of(self, agent: AgentInfo) -> list[str]:
        """The instances of the same agent before it was restarted, or after."""
        known = [(name, peer.heartbeat.agent.id) for name, peer in self._peers.items()]
        return [name for name, id in known if id == agent.id and name != agent.instance]

    def _is_outdated(self, heartbeat: Heartbeat) -> bool:
        """Whether its agent was restarted since it was sent."""
        others = [self._peers[name].heartbeat for name in self._others_of(heartbeat.agent)]
        return any(other.timestamp > heartbeat.timestamp for other in others)

    def differences(self, own: Heartbeat) -> list[str]:
        """A sentence for each agent of another version or configuration, once for each of them."""
        found = {
            (other.agent.instance, difference)
            for other in self._there()
            for difference in _differences(other, own)
        }
        new = sorted(found - self._told)[: MOST - len(self._told)]
        self._told.update(new)
        return [difference for _, difference in new]

    def _there(self) -> Iterable[Heartbeat]:
        beats = [peer.heartbeat for peer in self._peers.values() if peer.left > 0]
        return [beat for beat in beats if not self._is_over(beat)]

    def _is_over(self, heartbeat: Heartbeat) -> bool:
        """Whether it is of a reign that has lost its lease since."""
        holder = self.holder()
        lost = holder is not None and heartbeat.agent.instance != holder
        return lost and leads(heartbeat) and heartbeat.lease is not None

    def _answering(self, instance: str) -> bool:
        return self._answered.get(instance, 0.0) > time.monotonic()


async def _ignore(claim: Heartbeat) -> None:
    """Nobody has claimed before."""


def leads(heartbeat: Heartbeat) -> bool:
    """Whether the agent that said this leads."""
    return heartbeat.agent.role == "leader"


def rank(heartbeat: Heartbeat) -> Rank:
    """The least comes first; the same for all agents."""
    instance, since = heartbeat.agent.instance, heartbeat.leading_since
    if leads(heartbeat) and heartbeat.lease is not None:
        return (0, -heartbeat.lease, instance)
    if leads(heartbeat):
        return (1, since.timestamp() if since else float("inf"), instance)
    if heartbeat.agent.role == "stopped":
        return (6, 0.0, instance)
    if heartbeat.warm:
        return (2 if heartbeat.claims else 3, 0.0, instance)
    return (4 if heartbeat.claims else 5, 0.0, instance)


def _is_ahead(heartbeat: Heartbeat, warm: bool) -> bool:
    return rank(heartbeat)[0] <= (2 if warm else 4)


def _differences(other: Heartbeat, own: Heartbeat) -> Iterable[str]:
    name, version = shortened(other.agent.id), shortened(other.agent.version)
    if version != own.agent.version:
        yield f"agent {name} is of version {version}, this one of {own.agent.version}: update one"
    elif other.configuration != own.configuration:
        yield (
            f"agent {name} has another configuration than this one: give both the same, or what "
            "is found depends on which of them leads"
        )


def _sent(heartbeat: Heartbeat) -> float:
    """When it was sent, in Unix seconds of its agent."""
    return heartbeat.timestamp.timestamp()


def _order(heartbeat: Heartbeat) -> tuple[int, float]:
    """Later heartbeats of one instance compare greater, also when its clock was set back."""
    return (heartbeat.agent.epoch, _sent(heartbeat))
