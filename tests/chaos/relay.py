"""A relay between the agent and a server that can tamper with the replies that the agent gets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from nats_insights.lab.servers import local

Trick = Literal["drop", "cut", "double", "delay"]
# Of the replies that come while it tampers, this share.
SHARE = 0.3
LONGEST_DELAY = 1.5
_LINE_BYTES = 2**20
_CONNECT_SECONDS = 5.0


class Relay:
    """Passes NATS on between the agent and one server; with a `trick`, not faithfully.

    Tricks concern replies only, which come to inboxes; all else is passed on as it is.
    """

    def __init__(self, server: local.Server, seed: int) -> None:
        self.server = server
        self.url = ""
        self.trick: Trick | None = None
        self.tampered = 0
        self.connected = 0
        self._random = random.Random(seed)
        self._late: set[asyncio.Task[None]] = set()
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def close(self) -> None:
        """Ends all connections; a task of the streams' own must not be cancelled."""
        tasks = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*tasks, *self._late)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the agent, until either end closes it."""
        self._open[writer] = asyncio.current_task()
        try:
            await self._serve(reader, writer)
        finally:
            del self._open[writer]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            address = (self.server.host.address, self.server.port)
            async with asyncio.timeout(_CONNECT_SECONDS):
                above, below = await asyncio.open_connection(*address, limit=_LINE_BYTES)
        except OSError:  # A timeout is one too.
            writer.close()
            return
        self.connected += 1
        ways = [self._pass(reader, below), self._reply(above, writer)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.connected -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            below.close()
            writer.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()

    async def _reply(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while line := await source.readline():
            words = line.split()
            if not words or words[0] not in (b"MSG", b"HMSG"):
                sink.write(line)
            else:
                body = await source.readexactly(int(words[-1]) + 2)
                is_reply = words[1].startswith(b"_INBOX.")
                if self.trick and is_reply and self._random.random() < SHARE:
                    self.tampered += 1
                    self._tamper(sink, words, body[:-2])
                else:
                    sink.write(line + body)
            await sink.drain()

    def _tamper(self, sink: asyncio.StreamWriter, words: list[bytes], body: bytes) -> None:
        whole = b" ".join(words) + b"\r\n" + body + b"\r\n"
        if self.trick == "cut":
            headers = int(words[-2]) if words[0] == b"HMSG" else 0
            body = body[: headers + (len(body) - headers) // 2]
            sink.write(b" ".join([*words[:-1], b"%d" % len(body)]) + b"\r\n" + body + b"\r\n")
        elif self.trick == "double":
            sink.write(whole + whole)
        elif self.trick == "delay":
            task = asyncio.create_task(self._write_late(sink, whole))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _write_late(self, sink: asyncio.StreamWriter, whole: bytes) -> None:
        await asyncio.sleep(self._random.uniform(0.05, LONGEST_DELAY))
        with suppress(OSError, RuntimeError):
            sink.write(whole)


@asynccontextmanager
async def relayed(server: local.Server, address: str, seed: int) -> AsyncIterator[Relay]:
    """A relay to this server, at a port of this address."""
    relay = Relay(server, seed)
    listener = await asyncio.start_server(relay.serve, address, 0, limit=_LINE_BYTES)
    async with listener:
        relay.url = f"nats://{address}:{listener.sockets[0].getsockname()[1]}"
        try:
            yield relay
        finally:
            await relay.close()
