"""Real servers, certificates, and peers that misbehave on the real wire."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from kit.certificates import make
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The connection must behave alike on both loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Server:
    """One nats-server with the configuration given, on a port of its own choice."""

    def __init__(self, binary: Path, home: Path, configuration: str, port: int) -> None:
        home.mkdir()
        self.file, self.log = home / "server.conf", home / "server.log"
        self._head = (
            f'listen: "127.0.0.1:{port}"\nports_file_dir: "{home}"\nlog_file: "{self.log}"\n'
        )
        self.configure(configuration)
        self._process = subprocess.Popen([str(binary), "-c", str(self.file)])
        self._ports = home / f"nats-server_{self._process.pid}.ports"
        ports = self._started()
        self.url = str(ports["nats"][0]).replace("tls://", "nats://")
        self.cluster_url = str(ports.get("cluster", [""])[0])
        self.port = int(self.url.rpartition(":")[2])

    def configure(self, configuration: str) -> None:
        self.file.write_text(self._head + configuration)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _started(self) -> dict[str, list[str]]:
        deadline = time.monotonic() + 30
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                return dict(json.loads(self._ports.read_text()))
            time.sleep(0.003)
        self.stop()
        raise AssertionError(f"no server: {self.log.read_text() if self.log.exists() else ''}")


@pytest.fixture
def serve(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`serve("debug: true")` runs a server of the version in turn until the test ends."""
    running: list[Server] = []

    def start(configuration: str = "", port: int = -1) -> Server:
        home = tmp_path / f"server{len(running)}"
        running.append(Server(binary, home, configuration, port))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """`await listen(handler)` answers each connection with the handler; returns the URL."""
    writers: list[asyncio.StreamWriter] = []
    listeners: list[asyncio.Server] = []

    async def start(handler: Handler) -> str:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with suppress(OSError, asyncio.IncompleteReadError):
                await handler(reader, writer)

        listeners.append(await asyncio.start_server(accept, "127.0.0.1", 0))
        return f"nats://127.0.0.1:{listeners[-1].sockets[0].getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


@pytest.fixture
def dead() -> Iterator[str]:
    """The URL of a port that nobody can listen on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"nats://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def greet() -> Callable[..., Awaitable[bytes]]:
    """`await greet(reader, writer)` lets a client log in; returns its CONNECT line."""

    async def greet(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **info: object
    ) -> bytes:
        info = {"server_id": "F", "version": "2.15.1", "max_payload": 1024, "headers": True, **info}
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        connect = await reader.readline()
        assert await reader.readline() == b"PING\r\n"
        writer.write(b"PONG\r\n")
        return connect

    return greet


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `server` and `client` signed by `ca`, and `stranger` signed by nobody."""
    home = tmp_path_factory.mktemp("certificates")
    make(home)
    return home


@pytest.fixture
async def ours() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """`await ours(url)` is a client of our own, closed at the end."""
    opened: list[Client] = []

    async def start(url: str, **settings: Any) -> Client:
        opened.append(await connect(Settings(servers=(url,), **settings), name="test", timeout=20))
        return opened[-1]

    yield start
    for client in opened:
        await client.close()


@pytest.fixture
async def peer(listen: Any, greet: Any) -> tuple[str, asyncio.Future[Streams]]:
    """The URL of a peer that lets us log in, and its streams from then on."""
    logged_in: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        logged_in.set_result((reader, writer))
        await asyncio.Event().wait()

    return await listen(handler), logged_in
