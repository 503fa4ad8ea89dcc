"""An account with JetStream, in which an agent publishes, and what is kept there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.agent.publisher import Publisher
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import JetStreamError
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.local import System
from nats_insights.tell.advisory import Message
from nats_insights.tell.assets import HISTORY, LEASE_SECONDS, assets

# Settings of a local system: its user `keeper` may do everything in the account KEEP.
KEEP: Mapping[str, Any] = {
    "jetstream": True,
    "accounts": {"KEEP": ["keeper"]},
    "account_options": {"KEEP": "jetstream: enabled"},
}
# It now and then takes 2.10 a minute to add a stream with replicas.
_PATIENCE = 100.0


def keeper(system: System, *names: str) -> Settings:
    """How the user of that account connects: to these servers, or to any."""
    servers = [system[name] for name in names] or list(system)
    urls = tuple(server.url for server in servers)
    return replace(login(system, "keeper", servers[0].name), servers=urls)


def message(number: int, finding: str = "") -> Message:
    """An advisory as JetStream sees one: a subject, an id, and its number as the body."""
    where = f"INFO.SYSTEM._._.TEST_001.{finding or number}"
    return Message(
        f"{subjects.ADVISORY}.{where}", b"%d" % number, {"Nats-Msg-Id": f"{number:032x}"}
    )


class Kept:
    """What a subscriber of the account hears, and what its stream has stored."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.jetstream = JetStream(client)
        self.heard: list[Msg] = []

    async def hear(self, message: Msg) -> None:
        self.heard.append(message)

    @property
    def numbers(self) -> list[int]:
        """The bodies of what was heard, each once."""
        return list(dict.fromkeys(int(message.data) for message in self.heard))

    async def make(self, replicas: int = 1, lease: float = LEASE_SECONDS, **other: Any) -> None:
        """The streams and buckets of the agent; `other` keys of the history's configuration."""
        for asset in assets(replicas=replicas, lease=lease):
            more = other if asset.name == HISTORY else {}
            await self.until(lambda config=asset.config | more: self._make(config))

    async def _make(self, config: Mapping[str, Any]) -> bool:
        try:
            await self.jetstream.create(config)
        except JetStreamError:  # Until the leader has heard of enough servers.
            return False
        return True

    async def put(self, subject: str, data: bytes) -> None:
        """Store a message, as soon as the server knows which stream stores it."""

        async def puts() -> bool:
            try:
                await self.jetstream.put(subject, data)
            except JetStreamError:
                return False
            return True

        await self.until(puts)

    async def change(self, **other: Any) -> None:
        """Other keys of the configuration of the history."""
        stream = await self.jetstream.stream(HISTORY)
        assert stream is not None
        await self.jetstream.update({**stream.config, **other})

    async def stored(self, name: str = HISTORY) -> list[int]:
        """The bodies of the messages of a stream, in their order."""
        stream = await self.jetstream.stream(name)
        assert stream is not None
        js = self.client.jetstream()
        sequences = range(stream.state.first_seq, stream.state.last_seq + 1)
        return [int((await js.get_msg(name, sequence)).data) for sequence in sequences]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Until this is true; it may have to be awaited."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                said = condition()
                if await said if hasattr(said, "__await__") else said:
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def kept(settings: Settings) -> AsyncIterator[Kept]:
    """A subscriber to all of `$INSIGHTS.>` there."""
    client = await connect(settings, name="keeper")
    try:
        kept = Kept(client)
        await client.subscribe("$INSIGHTS.>", cb=kept.hear)
        await client.request(subjects.USER_INFO)  # By now the server has subscribed us.
        yield kept
    finally:
        await client.close()


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Publisher]:
    """A publisher that runs."""
    publisher = Publisher(settings, "test")
    async with publisher.running():
        yield publisher
