"""Requests to all servers or to one of them, and their cost."""

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
from nats_insights.gather.within import EVERYWHERE, Within
from nats_insights.replies.endpoint import Endpoint, endpoints
from nats_insights.replies.fields import Malformed, ServerInfo
from nats_insights.replies.unpack import ACCEPT, unpack

T = TypeVar("T")
log = logging.getLogger(__name__)

# Seconds after the last reply of a fan-out, for servers that are not known yet.
GRACE = 0.25
# Replies handled, or requests started, before the event loop runs other tasks.
BREATH = 16
# Requests in flight: many servers may hang at once.
AT_A_TIME = 1024
Reply = tuple[ServerInfo, Any]


class Asker:
    """Requests on one connection, counted. `denied` are the endpoints without permission.

    Replies to all are heard of servers `within` some clusters only.
    """

    def __init__(self, client: Client, timeout: float, within: Within = EVERYWHERE) -> None:
        self.client = client
        self.timeout = timeout
        self.within = within
        # What our account does not import cannot be requested either.
        self.denied = {one.key for one in endpoints().values() if not _is_taken(one, client)}
        self._sizes: dict[Endpoint[Any], float] = {}
        # One permanent subscription: one per request would change the subscription counts that
        # the servers report.
        self._inbox = client.new_inbox()
        self._subscribing = asyncio.Lock()
        self._subscribed = False
        self._hearing: dict[str, Callable[[Msg], Awaitable[None]]] = {}
        self._fan_outs = itertools.count()
        self.reset()

    def reset(self) -> None:
        """Set all counts to zero."""
        self.malformed = 0
        self._requests: Counter[str] = Counter()
        self._replies: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        """Requests since the last reset."""
        return self._requests.total()

    @property
    def replies(self) -> int:
        """Replies since the last reset."""
        return self._replies.total()

    @property
    def received(self) -> int:
        """Bytes of reply bodies since the last reset, as received on the wire."""
        return self._bytes.total()

    def costs(self) -> dict[str, EndpointCost]:
        """Requests, replies and bytes of each requested endpoint, by its key."""
        return {
            key: EndpointCost(requests=n, replies=self._replies[key], bytes=self._bytes[key])
            for key, n in sorted(self._requests.items())
        }

    def expect(self, endpoint: Endpoint[Any], replies: int) -> int:
        """The estimated size of this many replies on the wire, in bytes."""
        return int(replies * self._sizes.get(endpoint, endpoint.weight))

    async def everybody(
        self, endpoint: Endpoint[Any], expected: Collection[str], *, at_least: int = 0
    ) -> dict[str, Reply]:
        """Request from all servers, and wait for the expected ones, at most `timeout` seconds.

        Two different replies of one server id are both dropped: either may be wrong.

        It also waits for `at_least` this many replies, unexpected servers included. When all
        expected ones have come, this wait ends GRACE seconds after the last reply: servers count
        a killed one for minutes.
        """
        heard: dict[str, Reply] = {}
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
            if not self.within.has(info.cluster):
                return
            if len(heard) % BREATH == 0:
                await asyncio.sleep(0)  # nats-py empties its queue without yielding.
            reply = info, data
            before = heard.setdefault(info.id, reply)
            if before is not reply and before != reply:
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
            headers = ACCEPT if endpoint.packed else None
            for body in self.within.bodies(endpoint.body):
                self._requests[endpoint.key] += 1
                await self.client.publish(subject, body, reply=reply, headers=headers)
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

    async def one(
        self, endpoint: Endpoint[Any], server_id: str, body: bytes | None = None
    ) -> Reply:
        """The reply of one server; Malformed or a NATS error if there is none."""
        message = await self.ask(endpoint, server_id, body)
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
        """Any reply of one server, not decoded; a NATS error if there is none."""
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

    async def ask_twice(
        self, endpoint: Endpoint[Any], server_id: str, body: bytes, timeout: float
    ) -> Msg:
        """The same, with one retry after `timeout` seconds."""
        try:
            return await self.ask(endpoint, server_id, body, timeout)
        except nats.errors.TimeoutError:
            return await self.ask(endpoint, server_id, body, timeout)

    def complain(self, endpoint: Endpoint[Any], whose: str, problem: object) -> None:
        """Log the problem with a reply, never its content."""
        if isinstance(problem, Malformed):
            self.malformed += 1
        log.debug("%s of %s: %s", endpoint, whose, problem)

    async def _subscribe(self) -> None:
        async def hear(message: Msg) -> None:
            token = message.subject.rpartition(".")[2]
            if token in self._hearing:  # Otherwise the reply is late.
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


def _is_taken(endpoint: Endpoint[Any], client: Client) -> bool:
    """Whether all servers can be asked, and each by its id."""
    alone = endpoint.subject("ID") if endpoint.addressable else endpoint.subject()
    return client.takes(endpoint.subject()) and client.takes(alone)


class Round:
    """Requests to one endpoint that end after `most` timeouts: perhaps all servers hang."""

    def __init__(self, asker: Asker, endpoint: Endpoint[Any], most: int) -> None:
        self.asker, self.endpoint, self.left = asker, endpoint, most

    async def attempt(self, reading: Callable[[], Awaitable[T]], whose: str) -> T | None:
        """What `reading` returns, or None if that failed or is not tried any more."""
        if self.left <= 0 or self.endpoint.key in self.asker.denied:
            return None
        try:
            return await reading()
        except (Malformed, nats.errors.Error) as problem:
            self.left -= isinstance(problem, nats.errors.TimeoutError)
            self.asker.complain(self.endpoint, whose, problem)
            return None


def words(problem: Exception) -> str:
    """The problem as text for the roster."""
    if isinstance(problem, nats.errors.TimeoutError):
        return "it did not answer in time"
    return str(problem) or type(problem).__name__


async def each(
    one: Callable[[T], Awaitable[None]], items: Collection[T], most: int = AT_A_TIME
) -> None:
    """Run `one` for each item, at most `most` at a time, in tasks that end with this call."""
    waiting = iter(list(items))

    async def work() -> None:
        for item in waiting:
            await one(item)

    async with asyncio.TaskGroup() as tasks:
        for number in range(min(most, len(items))):
            tasks.create_task(work())
            if number % BREATH == 0:
                await asyncio.sleep(0)


async def in_turns(
    one: Callable[[T], Awaitable[None]],
    items: Collection[T],
    turn: Callable[[T], str],
    seconds: float,
) -> None:
    """The same for at most `seconds`; items of one turn, such as a server, come one at a time."""
    turns = {turn(item): asyncio.Lock() for item in items}

    async def wait(item: T) -> None:
        async with turns[turn(item)]:
            await one(item)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await each(wait, items)
