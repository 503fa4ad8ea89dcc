"""Ask: one request to all servers or to one of them, and what that costs."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any, TypeVar

import nats.errors
from nats.aio.msg import Msg

from nats_insights.connection.client import Client
from nats_insights.facts import EndpointCost
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Malformed, ServerInfo
from nats_insights.replies.unpack import ACCEPT, unpack

T = TypeVar("T")
log = logging.getLogger(__name__)

# The last reply of a fan-out may be that of a server that nobody knows yet.
GRACE = 0.25
# Replies taken in, or requests begun, between two breaths of the event loop.
BREATH = 16
# Requests in flight: many servers may hang at once.
AT_A_TIME = 1024
Heard = tuple[ServerInfo, Any]


class Asker:
    """Asks on one connection, and counts. `denied` are the endpoints that it may not ask."""

    def __init__(self, client: Client, timeout: float) -> None:
        self.client = client
        self.timeout = timeout
        self.denied: set[str] = set()
        self._sizes: dict[Endpoint[Any], float] = {}
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
        self.malformed = 0
        self._requests: Counter[str] = Counter()
        self._replies: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        """Requests since the counts were at zero."""
        return self._requests.total()

    @property
    def replies(self) -> int:
        """Replies since then."""
        return self._replies.total()

    @property
    def received(self) -> int:
        """The bytes of their bodies, as they came."""
        return self._bytes.total()

    def costs(self) -> dict[str, EndpointCost]:
        """The same for each endpoint that was asked."""
        return {
            key: EndpointCost(requests=n, replies=self._replies[key], bytes=self._bytes[key])
            for key, n in sorted(self._requests.items())
        }

    def expect(self, endpoint: Endpoint[Any], replies: int) -> int:
        """About how many bytes so many of its replies take on the wire."""
        return int(replies * self._sizes.get(endpoint, endpoint.weight))

    async def everybody(
        self, endpoint: Endpoint[Any], expected: Collection[str], *, at_least: int = 0
    ) -> dict[str, Heard]:
        """Ask everybody, and wait for the expected ones, at most `timeout` seconds.

        Who is heard twice, and not the same, is not heard: nobody knows which of it is true.

        For `at_least` so many, those that nobody expects among them, it waits no longer than GRACE
        after the last reply: servers remember a killed one for minutes.
        """
        heard: dict[str, Heard] = {}
        said: dict[str, int] = {}
        disputed: set[str] = set()
        missing, last = set(expected), time.monotonic()
        news = asyncio.Event()

        async def hear(message: Msg) -> None:
            nonlocal last
            try:
                self._count(endpoint, message)
                info, data = endpoint.decode(unpack(message.data, message.headers))
            except Malformed as problem:
                self.complain(endpoint, "a server", problem)
                return
            if len(heard) % BREATH == 0:
                await asyncio.sleep(0)  # nats-py empties its queue without a pause.
            heard.setdefault(info.id, (info, data))
            if said.setdefault(info.id, hash(message.data)) != hash(message.data):
                disputed.add(info.id)
                self.complain(endpoint, info.name, Malformed("two replies in one name"))
            expecting, last = bool(missing), time.monotonic()
            missing.discard(info.id)
            if not missing and (expecting or len(heard) >= at_least):
                news.set()

        await self._subscribe()
        token = str(next(self._fan_outs))
        self._hearing[token] = hear
        try:
            subject, reply = endpoint.subject(), f"{self._inbox}.{token}"
            self._requests[endpoint.key] += 1
            headers = ACCEPT if endpoint.packed else None
            await self.client.publish(subject, endpoint.body, reply=reply, headers=headers)
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
        return {id: reply for id, reply in heard.items() if id not in disputed}

    async def one(self, endpoint: Endpoint[Any], server_id: str) -> Heard:
        """The small reply of one server; Malformed or a NATS error if it cannot be had."""
        message = await self.ask(endpoint, server_id)
        info, data = endpoint.decode(unpack(message.data, message.headers))
        if info.id != server_id:
            raise Malformed("another server's reply")
        return info, data

    async def ask(
        self,
        endpoint: Endpoint[Any],
        server_id: str,
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> Msg:
        """Any reply of one server, as it came; a NATS error if it cannot be had."""
        subject = endpoint.subject(server_id)
        self._requests[endpoint.key] += 1
        try:
            message = await self.client.request(
                subject,
                endpoint.body if body is None else body,
                timeout=timeout or self.timeout,
                headers=ACCEPT if endpoint.packed else None,
            )
        except nats.errors.TimeoutError:
            if subject in self.client.denied:
                self.denied.add(endpoint.key)
            raise
        self._count(endpoint, message)
        return message

    def complain(self, endpoint: Endpoint[Any], whose: str, problem: object) -> None:
        """Note what went wrong with a reply, never what was in it."""
        if isinstance(problem, Malformed):
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

    def _count(self, endpoint: Endpoint[Any], message: Msg) -> None:
        size = len(message.data)
        self._replies[endpoint.key] += 1
        self._bytes[endpoint.key] += size
        usual = self._sizes.get(endpoint, endpoint.weight)
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
