"""Ask: one request to all servers or to one of them, and what that costs."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any, TypeVar

import nats.errors
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.replies import wire
from nats_insights.replies.unpack import ACCEPT, unpack

T = TypeVar("T")
log = logging.getLogger(__name__)

# The last reply of a fan-out may be that of a server that nobody knows yet.
GRACE = 0.25
# Of a small reply, until some have come.
REPLY_BYTES = 2048
# Replies taken in, or requests begun, between two breaths of the event loop.
BREATH = 16
# Requests in flight: many servers may hang at once.
AT_A_TIME = 1024
Heard = tuple[wire.ServerInfo, Any]
_BODIES = {"STATZ": b'{"include_unused":true}'}


class Asker:
    """Asks on one connection, and counts. `denied` are the endpoints that it may not ask."""

    def __init__(self, client: Client, timeout: float) -> None:
        self.client = client
        self.timeout = timeout
        self.denied: set[str] = set()
        self._sizes: dict[str, float] = {}
        # One subscription for good: if it came and went with each request, it would move the
        # counts of subscriptions that are asked for.
        self._inbox = client.new_inbox()
        self._subscribing = asyncio.Lock()
        self._subscribed = False
        self._hearing: dict[str, Callable[[Msg], Awaitable[None]]] = {}
        self._fan_outs = itertools.count()
        self.reset()

    def reset(self) -> None:
        """All counts at zero."""
        self.requests = self.replies = self.bytes = self.malformed = 0

    def expect(self, endpoint: str, replies: int) -> int:
        """About how many bytes so many replies of an endpoint take on the wire."""
        return int(replies * self._sizes.get(endpoint, REPLY_BYTES))

    async def everybody(
        self, endpoint: str, expected: Collection[str], *, at_least: int = 0
    ) -> dict[str, Heard]:
        """Ask everybody, and wait for the expected ones, at most `timeout` seconds.

        Who is heard twice, and not the same, is not heard: nobody knows which of it is true.

        For `at_least` so many, those that nobody expects among them, it waits no longer than GRACE
        after the last reply: servers remember a killed one for minutes.
        """
        heard: dict[str, Heard] = {}
        disputed: set[str] = set()
        missing, last = set(expected), time.monotonic()
        news = asyncio.Event()

        async def hear(message: Msg) -> None:
            nonlocal last
            try:
                self._count(endpoint, message)
                info, data = wire.decode(endpoint, unpack(message.data, message.headers))
            except wire.Malformed as problem:
                self.complain(endpoint, "a server", problem)
                return
            if len(heard) % BREATH == 0:
                await asyncio.sleep(0)  # nats-py empties its queue without a pause.
            if heard.setdefault(info.id, (info, data)) != (info, data):
                disputed.add(info.id)
                self.complain(endpoint, info.name, wire.Malformed("two replies in one name"))
            expecting, last = bool(missing), time.monotonic()
            missing.discard(info.id)
            if not missing and (expecting or len(heard) >= at_least):
                news.set()

        await self._subscribe()
        token = str(next(self._fan_outs))
        self._hearing[token] = hear
        try:
            body = _BODIES.get(endpoint, b"")
            subject, reply = subjects.server_request(endpoint), f"{self._inbox}.{token}"
            self.requests += 1
            await self.client.publish(subject, body, reply=reply, headers=ACCEPT)
            end = time.monotonic() + self.timeout
            while missing or len(heard) < at_least:
                stop = end if missing or not expected else min(end, last + GRACE)
                if (left := stop - time.monotonic()) <= 0:
                    break
                news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await news.wait()
        finally:
            del self._hearing[token]
        return {server_id: said for server_id, said in heard.items() if server_id not in disputed}

    async def one(self, endpoint: str, server_id: str) -> Heard:
        """The small reply of one server; Malformed or a NATS error if it cannot be had."""
        message = await self.ask(endpoint, server_id)
        info, data = wire.decode(endpoint, unpack(message.data, message.headers))
        if info.id != server_id:
            raise wire.Malformed("another server's reply")
        return info, data

    async def ask(
        self, endpoint: str, server_id: str, body: bytes = b"", timeout: float | None = None
    ) -> Msg:
        """Any reply of one server, as it came; a NATS error if it cannot be had."""
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
        self._count(endpoint, message)
        return message

    def complain(self, endpoint: str, whose: str, problem: object) -> None:
        """Note what went wrong with a reply, never what was in it."""
        if isinstance(problem, wire.Malformed):
            self.malformed += 1
        log.debug("%s of %s: %s", endpoint, whose, problem)

    async def _subscribe(self) -> None:
        async def hear(message: Msg) -> None:
            token = message.subject.rpartition(".")[2]
            if token in self._hearing:  # Else it comes too late.
                await self._hearing[token](message)

        async with self._subscribing:
            if not self._subscribed:
                await self.client.subscribe(f"{self._inbox}.*", cb=hear)
                self._subscribed = True

    def _count(self, endpoint: str, message: Msg) -> None:
        size = len(message.data)
        self.replies += 1
        self.bytes += size
        usual = self._sizes.get(endpoint, REPLY_BYTES)
        self._sizes[endpoint] = usual + 0.01 * (size - usual)


def words(problem: Exception) -> str:
    """A problem in words for the roster."""
    if isinstance(problem, nats.errors.TimeoutError):
        return "it did not answer in time"
    return str(problem) or type(problem).__name__


async def each(
    one: Callable[[T], Awaitable[None]], items: Collection[T], most: int = AT_A_TIME
) -> None:
    """`one` for each item, `most` at a time, in tasks that end with this call."""
    waiting = iter(list(items))

    async def work() -> None:
        for item in waiting:
            await one(item)

    async with asyncio.TaskGroup() as tasks:
        for number in range(min(most, len(items))):
            tasks.create_task(work())
            if number % BREATH == 0:
                await asyncio.sleep(0)
