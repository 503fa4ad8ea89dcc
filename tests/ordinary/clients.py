"""The clients of an ordinary system: programs that work, and connections that come and go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

from nats_insights.lab.servers.crowd import Crowd, Member
from nats_insights.lab.servers.local import Server, System

# Client libraries as they are found beside each other: language and version.
LIBRARIES = (("go", "1.48.0"), ("go", "1.47.0"), ("java", "2.24.1"), ("python3", "2.11.0"))
# This share of all connections closes in a second, and comes back.
CHURN = 0.002
_STREAM = "ORDERS"
_SUBJECT = "orders"


class Seat:
    """One connection that a program always has, on whichever server of its cluster takes it."""

    __slots__ = ("cluster", "member", "number", "user")

    def __init__(self, user: str, cluster: str, number: int) -> None:
        self.user, self.cluster, self.number = user, cluster, number
        self.member: Member | None = None


class Population:
    """Connections of many users, spread over the servers of two clusters, with reconnects."""

    def __init__(self, system: System, clusters: Mapping[str, Iterable[str]], crowd: Crowd) -> None:
        self.system, self.crowd = system, crowd
        self.clusters = {home: tuple(names) for home, names in clusters.items()}
        self.seats: list[Seat] = []
        self.down: set[str] = set()
        self._random = random.Random(7)

    def add(self, user: str, count: int) -> None:
        """So many connections more of a user, in turn in each cluster."""
        homes = sorted(self.clusters)
        self.seats += [Seat(user, homes[n % len(homes)], n) for n in range(count)]

    async def live(self) -> None:
        """Keep all connected, and have a few leave each second, until cancelled."""
        while True:
            leaving = self._random.sample(self.seats, round(CHURN * len(self.seats)))
            await self.crowd.leave([seat.member for seat in leaving if seat.member])
            await self.fill()
            await asyncio.sleep(1)

    async def fill(self) -> None:
        """Connect every seat that has no connection, each to a random server that is up."""
        empty = [seat for seat in self.seats if not (seat.member and seat.member.connected)]
        for seat in empty:
            names = [name for name in self.clusters[seat.cluster] if name not in self.down]
            with suppress(Exception):  # A server that goes down: the next second will do.
                (seat.member,) = await self._connect(seat, self.system[self._random.choice(names)])

    async def _connect(self, seat: Seat, server: Server) -> list[Member]:
        name, password = server.user(seat.user)
        lang, version = LIBRARIES[seat.number % len(LIBRARIES)]
        return await self.crowd.join(
            server.url,
            1,
            user=name,
            password=password,
            name=f"{seat.user}-{seat.number}",
            lang=lang,
            version=version,
            subscriptions=3,
            subject=f"{seat.user}.{seat.number % 50}.{{i}}",
        )


@asynccontextmanager
async def connected(
    system: System, user: str, names: Iterable[str], name: str
) -> AsyncIterator[Client]:
    """A real client that knows all servers of its cluster."""
    urls = [system[one].url for one in names]
    user, password = system.user(user)
    client = await nats.connect(
        urls,
        user=user,
        password=password,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        error_cb=_ignore,
    )
    try:
        yield client
    finally:
        await client.close()


async def _ignore(_: Exception) -> None:
    """Reconnects are what this is about."""


async def converse(asking: Client, answering: Client) -> None:
    """Requests and replies, some each second, until cancelled."""
    await answering.subscribe("price.*", queue="prices", cb=_answer)
    number = 0
    while True:
        number += 1
        with suppress(nats.errors.Error, TimeoutError):
            await asking.request(f"price.{number % 100}", b"?", timeout=1)
            await asking.publish(f"shop-web.{number % 50}.0", b"an event of some bytes" * 8)
        await asyncio.sleep(0.05)


async def _answer(message: nats.aio.msg.Msg) -> None:
    with suppress(nats.errors.Error):
        await message.respond(b"42")


async def work(producer: Client, worker: Client) -> None:
    """A replicated work queue that is filled and emptied, until cancelled."""
    config = StreamConfig(
        name=_STREAM,
        subjects=[f"{_SUBJECT}.>"],
        num_replicas=3,
        retention=RetentionPolicy.WORK_QUEUE,
        max_bytes=64 * 1024 * 1024,
        max_age=3600,
    )
    js = producer.jetstream(timeout=5)
    while True:
        with suppress(Exception):  # The first stream may be refused while peers are counted.
            await js.add_stream(config)
            break
        await asyncio.sleep(0.5)
    consumer = ConsumerConfig(durable_name="billing", ack_wait=30, max_ack_pending=1000)
    pull = await worker.jetstream(timeout=5).pull_subscribe(f"{_SUBJECT}.>", config=consumer)
    number = 0
    while True:
        number += 1
        with suppress(nats.errors.Error, TimeoutError):
            await js.publish(f"{_SUBJECT}.{number % 10}", b"x" * 300)
            for message in await pull.fetch(10, timeout=0.2):
                await message.ack()
        await asyncio.sleep(0.05)
