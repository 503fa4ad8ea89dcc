"""Measures the least that reading CONNZ of many servers can cost a Python process.

The bytes are received by a bare `asyncio.BufferedProtocol`, decompressed, and decoded into the five
fields that count; nothing is kept, nothing is counted but the rows.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

try:
    from isal import isal_zlib as inflater
except ImportError:
    inflater = zlib

_BUFFER_BYTES = 4 << 20
_LEAST_FREE = 256 << 10
_GZIP = 31
# Rows are seldom larger, once decompressed, than so many times what came.
_RATIO = 8
_INBOX = "_INBOX.floor"


class Row(Struct, gc=False):
    """One connection: as much of it as any agent has to know."""

    cid: int
    kind: str
    subscriptions: int
    authorized_user: str = ""
    account: str = "$G"


class Page(Struct):
    connections: list[Row]
    total: int


class Reply(Struct):
    data: Page


class Cost(Struct, frozen=True, kw_only=True):
    """What one sweep cost. `wire_bytes` are bodies as received, `json_bytes` decompressed ones;
    CPU is that of the whole process."""

    replies: int
    rows: int
    wire_bytes: int
    json_bytes: int
    cpu_seconds: float
    wall_seconds: float


async def floor(
    url: str,
    connections: Mapping[str, int],
    *,
    user: str,
    password: str,
    limit: int = 8192,
    in_flight: int = 32,
    gzip: bool = True,
) -> Cost:
    """Asks every server in `connections`, which has how many it holds by the server's id.

    Pages of `limit` rows, `in_flight` requests at a time over all servers. Run it in a process
    that does nothing else, with a user of the system account. ConnectionError if it is cut off.
    """
    at = urlsplit(url)
    loop = asyncio.get_running_loop()
    reader = Reader(bodies(connections, limit), gzip)
    transport, _ = await loop.create_connection(lambda: reader, at.hostname, at.port)
    try:
        hello = {"user": user, "pass": password, "headers": True, "verbose": False}
        hello |= {"no_responders": True, "name": "floor"}
        commands = f"CONNECT {json.dumps(hello)}\r\nSUB {_INBOX} 1\r\nPING\r\n"
        transport.write(commands.encode())
        await reader.ready
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(in_flight):
            reader.ask()
        if connections:
            await reader.done
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    finally:
        transport.close()
    return Cost(
        replies=reader.replies,
        rows=reader.rows,
        wire_bytes=reader.wire_bytes,
        json_bytes=reader.json_bytes,
        cpu_seconds=cpu,
        wall_seconds=wall,
    )


class Reader(asyncio.BufferedProtocol):
    """Asks the next question whenever a reply came; `done` when there is none left to come."""

    def __init__(self, bodies: Iterator[tuple[str, bytes]], gzip: bool) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.replies = self.rows = self.wire_bytes = self.json_bytes = 0
        self._bodies = bodies
        self._header = b"NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n" if gzip else b""
        self._decoder = msgspec.json.Decoder(Reply)
        self._asked = 0
        self._buffer = bytearray(_BUFFER_BYTES)
        # What is between these two was received and not yet read; at least `_wanted` bytes of it
        # have to be there before it is worth another look.
        self._start = self._end = self._wanted = 0

    def ask(self) -> None:
        """Sends the next request, if there is one."""
        server_id, body = next(self._bodies, ("", b""))
        if not server_id:
            return
        self._asked += 1
        size = len(self._header) + len(body)
        sizes = f"{len(self._header)} {size}" if self._header else f"{size}"
        verb = "HPUB" if self._header else "PUB"
        line = f"{verb} $SYS.REQ.SERVER.{server_id}.CONNZ {_INBOX} {sizes}\r\n"
        self._transport.write(b"".join((line.encode(), self._header, body, b"\r\n")))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.ready, self.done):
            if not future.done():
                future.set_exception(ConnectionError(f"the server ended the connection: {error}"))

    def get_buffer(self, sizehint: int) -> memoryview:
        unread = self._end - self._start
        if len(self._buffer) - self._end < max(_LEAST_FREE, self._wanted - unread):
            size = max(_BUFFER_BYTES, 2 * self._wanted)
            larger = self._buffer if size <= len(self._buffer) else bytearray(size)
            larger[:unread] = self._buffer[self._start : self._end]
            self._buffer, self._start, self._end = larger, 0, unread
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        while self._end - self._start >= self._wanted:
            eol = self._buffer.find(b"\r\n", self._start, self._end)
            if eol < 0:
                return
            line = self._buffer[self._start : eol].split()
            sizes = [int(size) for size in line[3:]] if line[0] in (b"MSG", b"HMSG") else []
            used = eol + 2 - self._start + (sizes[-1] + 2 if sizes else 0)
            if self._end - self._start < used:
                self._wanted = used
                return
            if sizes:
                header = sizes[0] if line[0] == b"HMSG" else 0
                self._received(eol + 2 + header, eol + 2 + sizes[-1], header > 0)
            else:
                self._heard(bytes(line[0]))
            self._start += used
            self._wanted = 0

    def _received(self, start: int, end: int, gzipped: bool) -> None:
        with memoryview(self._buffer)[start:end] as body:
            plain = inflater.decompress(body, _GZIP, _RATIO * (end - start)) if gzipped else body
            self.json_bytes += len(plain)
            self.rows += len(self._decoder.decode(plain).data.connections)
        self.wire_bytes += end - start
        self.replies += 1
        self.ask()
        if self.replies == self._asked:
            self.done.set_result(None)

    def _heard(self, verb: bytes) -> None:
        if verb == b"PING":
            self._transport.write(b"PONG\r\n")
        elif verb == b"PONG" and not self.ready.done():
            self.ready.set_result(None)


def bodies(connections: Mapping[str, int], limit: int) -> Iterator[tuple[str, bytes]]:
    """Each page to ask for: first those of the first server, as long as it has rows."""
    for server_id, count in connections.items():
        for offset in range(0, max(1, count), limit):
            body = {"auth": True, "limit": limit, "offset": offset}
            yield server_id, json.dumps(body).encode()
