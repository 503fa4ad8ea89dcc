"""Peers: is there another agent on this system, and which of the two leads?

Agents that keep no common state must not both publish: their ids would differ, and the two would
contradict each other. So a second agent stands by. It finds the first by `$SRV.PING` before its
first epoch, then by heartbeats. If two lead, as after a partition, the one that has led longer
continues.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.tell.messages import Heartbeat

log = logging.getLogger(__name__)

MOST = 100
_LISTEN = 0.5
# Beside msgspec's own errors: bad UTF-8, and deep nesting in a field that is not decoded.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Pong(Struct):
    metadata: dict[str, str] | None = None


class _Peer(Struct):
    heartbeat: Heartbeat
    heard: float

    @property
    def leads(self) -> bool:
        """Whether its last heartbeat said that it leads, and is not too old."""
        silence = time.monotonic() - self.heard
        patience = self.heartbeat.silent_after_seconds
        return self.heartbeat.agent.role == "leader" and silence < patience


class Peers:
    """The other agents. `changed` is set by each heartbeat of another one."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.changed = asyncio.Event()
        self._peers: dict[str, _Peer] = {}

    async def listen(self, client: Client) -> None:
        """Subscribe to the heartbeats of others, for as long as the connection lasts."""
        await client.subscribe(f"{subjects.HEARTBEAT}.*", cb=self.hear)

    def leader(self) -> Heartbeat | None:
        """The heartbeat of another agent that leads, of several the one that has led longest."""
        leading = [peer.heartbeat for peer in self._peers.values() if peer.leads]
        return min(leading, key=_seniority, default=None)

    def yields_to(self, leading_since: float) -> Heartbeat | None:
        """The other leader, if it has led longer than since `leading_since`, in Unix seconds."""
        other = self.leader()
        if other is None or _seniority(other) > (leading_since, self.instance):
            return None
        return other

    async def ask(self, client: Client) -> str:
        """The id of another leader that answers `$SRV.PING` within half a second, else ""."""
        found = asyncio.Event()
        leaders: list[str] = []

        async def hear(message: Msg) -> None:
            with suppress(*UNREADABLE):
                metadata = msgspec.json.decode(message.data, type=_Pong).metadata or {}
                if metadata.get("role") == "leader" and metadata.get("instance") != self.instance:
                    leaders.append(metadata.get("id", "unnamed"))
                    found.set()

        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=hear)
        try:
            await client.publish(subjects.PING_SERVICE, b"", reply=inbox)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LISTEN):
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
        instance = heartbeat.agent.instance
        if instance == self.instance:
            return
        # A server that was frozen delivers old messages when it resumes.
        last = self._peers.get(instance)
        if last is not None and _order(heartbeat) <= _order(last.heartbeat):
            return
        if len(self._peers) >= MOST and instance not in self._peers:
            del self._peers[min(self._peers, key=lambda name: self._peers[name].heard)]
        self._peers[instance] = _Peer(heartbeat, time.monotonic())
        self.changed.set()


def _order(heartbeat: Heartbeat) -> tuple[int, datetime]:
    """Later heartbeats of one instance compare greater, also when its clock was set back."""
    return (heartbeat.agent.epoch, heartbeat.timestamp)


def _seniority(heartbeat: Heartbeat) -> tuple[Any, str]:
    since = heartbeat.leading_since
    return (since.timestamp() if since else float("inf"), heartbeat.agent.instance)
