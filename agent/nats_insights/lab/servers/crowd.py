"""Holds many real client connections in one process, with little memory and CPU."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import cast
from urllib.parse import urlsplit

from nats_insights.errors import ConnectError, InsightsError
from nats_insights.lab.servers.login import Login

_CONNECTING_AT_ONCE = 128
_JOIN_SECONDS = 10.0
_LEAVE_SECONDS = 5.0
_SPARE_FILES = 64
# Closing resets the connection, so that thousands of them leave no ports behind in TIME_WAIT.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Member(asyncio.Protocol):
    """One client connection: logs in, subscribes, answers PING, and ignores messages."""

    __slots__ = ("_greet", "_leaving", "_rest", "_transport", "address", "gone", "name", "ready")

    def __init__(
        self, address: tuple[str, int], name: str, greet: Callable[[bytes], bytes]
    ) -> None:
        """`greet` returns what it sends first, after the INFO that the server sent."""
        loop = asyncio.get_running_loop()
        self.address = address
        self.name = name
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._greet: Callable[[bytes], bytes] | None = greet
        self._leaving = False
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    async def connect(self) -> None:
        """Connects; on return the server has taken the login and all subscriptions."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                await loop.create_connection(lambda: self, *self.address)
                await self.ready
        except OSError as error:  # A timeout is one too.
            why = error.strerror or f"no answer within {_JOIN_SECONDS:.0f} s"
            raise self._error(why) from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n")) >= 0:
            line = self._rest[:end]
            size = end + 2
            if line.startswith((b"MSG ", b"HMSG ")):
                size += int(line.rpartition(b" ")[2]) + 2
                if len(self._rest) < size:
                    return
            self._rest = self._rest[size:]
            self._heard(line)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self._refuse("the server closed the connection")
        if not self.gone.done():
            self.gone.set_result(None)

    @property
    def connected(self) -> bool:
        return self._transport is not None and not self.gone.done()

    def leave(self) -> None:
        """Closes the connection properly; the server closes it in turn, which sets `gone`."""
        if self._transport is not None and not self._transport.is_closing():
            self._leaving = True
            try:
                self._transport.write_eof()
            except RuntimeError:
                # Cancelled while it connected: uvloop has closed it without calling back.
                self.connection_lost(None)

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _heard(self, line: bytes) -> None:
        assert self._transport is not None
        if self._leaving:
            return  # Nothing can be written after closing.
        if line == b"PING":
            self._transport.write(b"PONG\r\n")
        elif line == b"PONG" and not self.ready.done():
            self.ready.set_result(None)
        elif line.startswith(b"INFO ") and self._greet:
            self._transport.write(self._greet(line.removeprefix(b"INFO ")))
            self._greet = None
        elif line.startswith(b"-ERR") and not self.ready.done():
            self._refuse(line[5:].decode("utf-8", "replace").strip("' "))

    def _refuse(self, why: str) -> None:
        self.ready.set_exception(self._error(why))
        self.ready.exception()  # Retrieved, so that asyncio does not log it.

    def _error(self, why: str) -> ConnectError:
        host, port = self.address
        return ConnectError(f"client {self.name} cannot join {host}:{port}: {why}")


class Crowd:
    """Client connections by the thousand; `async with Crowd() as crowd` closes them all.

    No TLS, no reconnecting: a connection that the server closes is no longer counted.
    """

    def __init__(self) -> None:
        self._members: set[Member] = set()

    async def __aenter__(self) -> Crowd:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    async def join(
        self,
        url: str,
        count: int,
        *,
        user: str | None = None,
        password: str | None = None,
        login: Login | None = None,
        name: str = "crowd",
        lang: str = "python",
        version: str = "2.16.0",
        subscriptions: int = 0,
        subject: str = "crowd.{i}",
    ) -> list[Member]:
        """Opens `count` connections to the server at `url`, and returns them.

        They log in as `user` with `password`, or as `login` says. Each has `subscriptions` of its
        own; `{i}` in `subject` counts them from 0 through this call, `{i}` in `name` counts the
        connections. On return the server has them all, counts included. ConnectError, and none of
        them, if it refuses one.
        """
        _allow_files(len(self) + count)
        address = _address(url)
        hello: dict[str, object] = {"verbose": False, "pedantic": False, "protocol": 1}
        hello |= {"lang": lang, "version": version}
        if user is not None:
            login = Login(user, password or "")
        members = []
        for i in range(count):
            own = name.replace("{i}", str(i))
            subjects = (
                subject.replace("{i}", str(i * subscriptions + k)) for k in range(subscriptions)
            )
            subs = "".join(f"SUB {one} {sid}\r\n" for sid, one in enumerate(subjects, 1))
            greet = partial(_greeting, hello | {"name": own}, subs, login)
            members.append(Member(address, own, greet))
        try:
            await self._connect(members)
        except BaseException:
            await _close(members)
            raise
        return members

    async def leave(self, who: Iterable[Member] | Callable[[Member], bool]) -> int:
        """Closes these members properly, or those for which `who` is true; returns how many.

        On return their servers have closed the connections too, save a server that is frozen.
        """
        chosen = {m for m in self._members if who(m)} if callable(who) else self._members & {*who}
        await _close(chosen)
        return len(chosen)

    async def close(self) -> None:
        """Closes all connections at once, whatever state their servers are in."""
        members = list(self._members)
        for member in members:
            member.abort()
        await asyncio.gather(*(member.gone for member in members))

    async def _connect(self, members: list[Member]) -> None:
        slots = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def connect(member: Member) -> None:
            async with slots:
                await member.connect()
            self._members.add(member)
            member.gone.add_done_callback(lambda _: self._members.discard(member))

        tasks = [asyncio.create_task(connect(member)) for member in members]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise InsightsError(f"{url!r} has no host and port, as in nats://127.0.0.1:4222")
    return parts.hostname, parts.port


def _greeting(hello: dict[str, object], subs: str, login: Login | None, info: bytes) -> bytes:
    """What a client sends first; the PONG to its PING means that the server has processed it."""
    who = login.connect(info) if login else {}
    return f"CONNECT {json.dumps(hello | who)}\r\n{subs}PING\r\n".encode()


async def _close(members: Iterable[Member]) -> None:
    """Closes properly where the server cooperates, and by force where it does not."""
    connected = [member for member in members if member.connected]
    for member in connected:
        member.leave()
    if connected:
        await asyncio.wait([member.gone for member in connected], timeout=_LEAVE_SECONDS)
    for member in connected:
        member.abort()
    await asyncio.gather(*(member.gone for member in connected))


def _allow_files(connections: int) -> None:
    """Raises this process's limit of open files as far as it may; InsightsError if too low."""
    import resource  # Windows does not have it.

    needed = connections + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < needed:
        raise InsightsError(
            f"{connections} connections need {needed} open files, and this process may have {hard}"
        )
