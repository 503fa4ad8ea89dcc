"""Speaks the NATS client protocol: one connection, no TLS, no reconnecting."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from nats_insights.errors import ConnectError

NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"

_DEFAULT_PORT = 4222
_CONNECT_SECONDS = 10.0
# Above this many unsent bytes, whoever publishes waits.
_UNSENT_BYTES = 4 << 20


class Message(NamedTuple):
    """One message as it came; `header` is the whole header block, empty where there is none."""

    subject: str
    reply: str
    header: bytes
    body: bytes


class Client(asyncio.Protocol):
    """A connection, made by `connect`. When it ends `closed` is set, and `why` says why."""

    def __init__(self, hello: dict[str, object], on_message: Callable[[Message], None]) -> None:
        self.closed = asyncio.Event()
        self.why = "the server closed it"
        self.max_payload = 0
        self._on_message = on_message
        self._greeting = f"CONNECT {json.dumps(hello)}\r\nPING\r\n".encode()
        self._pongs = deque([asyncio.get_running_loop().create_future()])
        self._rest = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()

    async def ready(self) -> None:
        """Waits until the server has let us in; ConnectError if it does not."""
        await self._pongs[0]

    def subscribe(self, subjects: Iterable[str]) -> None:
        for sid, subject in enumerate(subjects, 1):
            self._transport.write(f"SUB {subject} {sid}\r\n".encode())

    def publish(self, subject: str, body: bytes, header: bytes = b"") -> None:
        """Hands one message to the transport; ConnectError if the server would not take it."""
        size = len(header) + len(body)
        if size > self.max_payload:
            raise ConnectError(
                f"a reply of {size:,} bytes is over the server's max_payload of "
                f"{self.max_payload:,}: start that server with `max_payload: 64MB`"
            )
        line = f"HPUB {subject} {len(header)} {size}" if header else f"PUB {subject} {size}"
        self._transport.writelines((line.encode(), b"\r\n", header, body, b"\r\n"))

    async def writable(self) -> None:
        """Waits until the server has taken most of what was published; lets others run."""
        await asyncio.sleep(0)
        await self._writable.wait()

    async def flush(self) -> None:
        """Waits until the server has taken everything; ConnectError if the connection ended."""
        if self.closed.is_set():
            raise ConnectError(self.why)
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._transport.write(b"PING\r\n")
        await pong

    def close(self) -> None:
        """Ends the connection when what is left has been sent."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        self.closed.set()
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(ConnectError(self.why))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n")) >= 0:
            line = self._rest[:end].decode()
            size = end + 2
            if line.startswith(("MSG ", "HMSG ")):
                size += int(line.rpartition(" ")[2]) + 2
                if len(self._rest) < size:
                    return
            body = bytes(self._rest[end + 2 : size - 2])
            del self._rest[:size]
            self._heard(line, body)

    def _heard(self, line: str, body: bytes) -> None:
        operation, _, arguments = line.partition(" ")
        if operation in ("MSG", "HMSG"):
            self._on_message(_message(operation, arguments.split(), body))
        elif operation == "PING":
            self._transport.write(b"PONG\r\n")
        elif operation == "PONG":
            self._ponged()
        elif operation == "INFO":
            self.max_payload = json.loads(arguments)["max_payload"]
            self._transport.write(self._greeting)
            self._greeting = b""
        elif operation == "-ERR":
            self.why = arguments.strip("' ")

    def _ponged(self) -> None:
        pong = self._pongs.popleft()
        if not pong.done():
            pong.set_result(None)


async def connect(
    url: str, user: str, password: str, name: str, on_message: Callable[[Message], None]
) -> Client:
    """A connection that is ready to use; ConnectError says why there is none."""
    at = urlsplit(url if "://" in url else f"nats://{url}")
    host, port = at.hostname or "127.0.0.1", at.port or _DEFAULT_PORT
    hello: dict[str, object] = {"user": user, "pass": password, "name": name}
    hello |= {"lang": "python3", "version": "0", "protocol": 1}
    hello |= {"verbose": False, "pedantic": False, "echo": False}
    hello |= {"headers": True, "no_responders": True}
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, client = await loop.create_connection(lambda: Client(hello, on_message), host, port)
            await client.ready()
    except (OSError, ConnectError) as error:
        why = str(error) or f"no answer within {_CONNECT_SECONDS:.0f} s"
        raise ConnectError(f"no connection to {host}:{port}: {why}") from None
    return client


def _message(operation: str, arguments: list[str], body: bytes) -> Message:
    """Arguments are subject, sid, maybe a reply subject, the header's size (HMSG), the size."""
    sizes = 2 if operation == "HMSG" else 1
    header = int(arguments[-2]) if operation == "HMSG" else 0
    reply = arguments[2] if len(arguments) > 2 + sizes else ""
    return Message(arguments[0], reply, body[:header], body[header:])
