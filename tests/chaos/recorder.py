"""Listens on every server to what the agent tells, and asks servers for what they hold."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error
from tests.chaos.judge import Said
from tests.chaos.model import Load, User
from tests.chaos.process import ACCOUNT

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.errors import ConnectError
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.local import System
from nats_insights.tell.messages import Advisory, Heartbeat

_PAUSE_SECONDS = 0.2
ROOT = "root"
# The accounts of those who ask, tell and listen.
_OURS = ("SYS", ACCOUNT)


class Recorder:
    """All that was heard, once each, whichever server delivered it first.

    It listens as `root`, and where agents publish in another account, as a `listener` there too.
    """

    def __init__(self, system: System, listener: str = "") -> None:
        self.story: dict[str, Said] = {}
        self.beats: list[tuple[float, Heartbeat]] = []
        self.changed = asyncio.Event()
        self._system = system
        self._listener = listener
        self._clients: dict[tuple[str, str], Client] = {}
        self._epochs: set[str] = set()

    async def listen(self) -> None:
        """Listens on all servers, whatever becomes of them, until it is cancelled."""
        async with asyncio.TaskGroup() as listening:
            for server in self._system:
                for user in filter(None, (ROOT, self._listener)):
                    listening.create_task(self._listen(user, server.name))

    async def _listen(self, user: str, name: str) -> None:
        while True:
            with suppress(ConnectError, Error, OSError):
                client = await connect(login(self._system, user, name), name="recorder")
                try:
                    await client.subscribe("$INSIGHTS.>", cb=self._hear)
                    self._clients[user, name] = client
                    await client.closed.wait()
                finally:
                    self._clients.pop((user, name), None)
                    await client.close()
            await asyncio.sleep(_PAUSE_SECONDS)

    def clients(self, user: str) -> list[Client]:
        """Its connections as this user, to whatever servers there are."""
        return [client for (one, _), client in self._clients.items() if one == user]

    async def _hear(self, message: Msg) -> None:
        now = time.time()
        if message.subject.startswith(subjects.HEARTBEAT):
            beat = msgspec.json.decode(message.data, type=Heartbeat)
            if beat.id not in self._epochs:
                self._epochs.add(beat.id)
                self.beats.append((now, beat))
                self.changed.set()
            return
        said = msgspec.json.decode(message.data, type=Advisory)
        self.story.setdefault(said.id, said_by(said, now))

    async def until(self, condition: Any, seconds: float) -> bool:
        """Whether a heartbeat made it true within so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
                return True
        return False

    async def ask(self, name: str, endpoint: str, body: object = None) -> Any:
        """What a server says, asked on our connection to it; None if it does not."""
        client = self._clients.get((ROOT, name))
        if client is None:
            return None
        subject = subjects.server_request(endpoint, client.server_id)
        with suppress(Error, OSError):
            reply = await client.request(subject, msgspec.json.encode(body or {}), timeout=1.0)
            return msgspec.json.decode(reply.data)["data"]
        return None

    async def outcome(self, code: str) -> Any:
        """What the leader says of the last evaluation of a check; None if nobody answers."""
        for client in self.clients(ROOT):
            with suppress(Error, OSError):
                body = msgspec.json.encode({"code": code})
                reply = await client.request(subjects.api("EXPLAIN"), body, timeout=1.0)
                return msgspec.json.decode(reply.data).get("check", {}).get("last")
        return None

    async def routes(self, name: str) -> Counter[str]:
        """How many routes a server has to each of its peers."""
        routez = await self.ask(name, "ROUTEZ") or {}
        return Counter(route["remote_name"] for route in routez.get("routes") or ())

    async def held(self, name: str) -> dict[User, Load] | None:
        """What a server says that clients hold on it; None if it does not say it."""
        connz = await self.ask(name, "CONNZ", {"auth": True, "limit": 2048})
        if connz is None:
            return None
        found: dict[User, Load] = {}
        for row in connz.get("connections") or ():
            user = (row["account"], row["authorized_user"])
            if user[0] not in _OURS:
                before = found.get(user, Load(0, 0))
                subscriptions = before.subscriptions + row["subscriptions"]
                found[user] = Load(before.connections + 1, subscriptions)
        return found


def said_by(advisory: Advisory, heard: float) -> Said:
    """What the judge reads of an advisory."""
    return Said(
        id=advisory.id,
        finding=advisory.fingerprint,
        at=advisory.timestamp.timestamp(),
        heard=heard,
        transition=advisory.transition,
        code=advisory.code,
        name=advisory.entity.name,
        severity=advisory.severity,
        revision=advisory.revision,
        reason=advisory.reason,
        value=advisory.value,
        stale=advisory.stale and advisory.stale.timestamp(),
        missing=tuple(advisory.coverage.missing),
        summary=advisory.summary,
        agent=advisory.agent.id,
        opened_at=advisory.opened_at.timestamp(),
    )
