"""Ask: one request to all servers or to one of them, and what that costs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any, NamedTuple

import nats.errors
from nats.aio.msg import Msg

from . import subjects, wire
from .client import Client
from .unpack import ACCEPT, unpack

log = logging.getLogger(__name__)

# The last reply of a fan-out may be that of a server that nobody knows yet.
GRACE = 0.25
Heard = tuple[wire.ServerInfo, Any]
_BODIES = {"STATZ": b'{"include_unused":true}'}


class Answer(NamedTuple):
    """A reply as it came: unpacked, and how many bytes it took on the wire."""

    payload: bytes
    size: int


class Asker:
    """Asks on one connection, and counts. `denied` are the endpoints that it may not ask."""

    def __init__(self, client: Client, timeout: float) -> None:
        self.client = client
        self.timeout = timeout
        self.denied: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """All counts at zero."""
        self.requests = self.replies = self.bytes = self.malformed = 0

    async def everybody(
        self, endpoint: str, expected: Collection[str], *, discover: bool = False
    ) -> dict[str, Heard]:
        """Ask everybody, and wait for the expected ones, at most `timeout` seconds.

        To discover is to wait as well until as many have answered as the servers know of, but no
        longer than GRACE after the last reply: they remember a killed server for minutes.
        """
        heard: dict[str, Heard] = {}
        missing, known, last = set(expected), 1, time.monotonic()
        done = asyncio.Event()

        async def hear(message: Msg) -> None:
            nonlocal known, last
            try:
                info, data = wire.decode(endpoint, self._take(message).payload)
            except wire.Malformed as problem:
                self.complain(endpoint, "a server", problem)
                return
            heard.setdefault(info.id, (info, data))
            missing.discard(info.id)
            if discover:
                known, last = max(known, data.active_servers), time.monotonic()
            if not missing and not (discover and len(heard) < known):
                done.set()

        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox, cb=hear)
        try:
            body = _BODIES.get(endpoint, b"")
            subject = subjects.server_request(endpoint)
            self.requests += 1
            await self.client.publish(subject, body, reply=inbox, headers=ACCEPT)
            end = time.monotonic() + self.timeout
            while not done.is_set():
                stop = end if missing or not expected else min(end, last + GRACE)
                if (left := stop - time.monotonic()) <= 0:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await done.wait()
        finally:
            if not self.client.is_closed:
                await subscription.unsubscribe()
        return heard

    async def one(self, endpoint: str, server_id: str) -> Heard:
        """The small reply of one server; Malformed or a NATS error if it cannot be had."""
        if endpoint == "STATZ":
            return await self._statz_of(server_id)
        info, data = wire.decode(endpoint, (await self.ask(endpoint, server_id)).payload)
        if info.id != server_id:
            raise wire.Malformed("another server's reply")
        return info, data

    async def _statz_of(self, server_id: str) -> Heard:
        # Account statistics have no subject per server, so everybody answers a second time.
        heard = await self.everybody("STATZ", {server_id})
        if server_id not in heard:
            raise nats.errors.TimeoutError
        return heard[server_id]

    async def ask(
        self, endpoint: str, server_id: str, body: bytes = b"", timeout: float | None = None
    ) -> Answer:
        """Any reply of one server, undecoded; Malformed or a NATS error if it cannot be had."""
        subject = subjects.server_request(endpoint, server_id)
        self.requests += 1
        try:
            message = await self.client.request(
                subject, body, timeout=timeout or self.timeout, headers=ACCEPT
            )
        except nats.errors.TimeoutError:
            if subject in self.client.denied:
                self.denied.add(endpoint)
            raise
        return self._take(message)

    def complain(self, endpoint: str, whose: str, problem: object) -> None:
        """Note what went wrong with a reply, never what was in it."""
        if isinstance(problem, wire.Malformed):
            self.malformed += 1
        log.debug("%s of %s: %s", endpoint, whose, problem)

    def _take(self, message: Msg) -> Answer:
        self.replies += 1
        self.bytes += len(message.data)
        return Answer(unpack(message.data, message.headers), len(message.data))


def words(problem: Exception) -> str:
    """A problem in words for the roster."""
    if isinstance(problem, nats.errors.TimeoutError):
        return "it did not answer in time"
    return str(problem) or type(problem).__name__
