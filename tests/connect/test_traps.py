"""The traps of nats-py that our client cures; where the fault is shown in plain nats-py too, a
failure there means that it was mended upstream, and that the cure in client.py may go."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client as PlainClient

URLS = [f"nats-{number}.europe-west.example.com:4222" for number in range(1000)]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def plain() -> AsyncIterator[PlainClient]:
    """A client as nats-py makes it, not yet connected, silent about errors."""

    client = PlainClient()
    yield client
    await client.close()


async def ignore(error: Exception) -> None:
    pass


async def abandon_a_flush(client: PlainClient, streams: Streams) -> None:
    """The client gives up waiting for a PONG, which comes after all."""
    reader, writer = streams
    with pytest.raises(nats.errors.FlushTimeoutError):
        await client.flush(timeout=0.01)  # type: ignore[arg-type]
    assert await reader.readline() == b"PING\r\n"
    writer.write(b"PONG\r\n")


async def test_an_abandoned_flush_makes_plain_nats_py_deaf(peer: Any, plain: PlainClient) -> None:
    url, logged_in = peer
    await plain.connect(url, error_cb=ignore)
    await abandon_a_flush(plain, await logged_in)
    assert plain._reading_task is not None
    await plain._reading_task
    assert plain.is_connected


async def test_an_abandoned_flush_leaves_our_client_hearing(peer: Any, ours: Any) -> None:
    url, logged_in = peer
    client = await ours(url)
    reader, writer = await logged_in
    await abandon_a_flush(client, (reader, writer))
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    flushed = asyncio.create_task(client.flush())
    assert await reader.readline() == b"PING\r\n"
    writer.write(b"PONG\r\n")
    await flushed


@pytest.mark.parametrize("line", [b"-ERR \r\n", b"INFO x\r\n", b"INFO 5\r\n", b"-ERR '\xff'\r\n"])
async def test_a_line_that_nats_py_chokes_on_makes_it_deaf(
    line: bytes, peer: Any, plain: PlainClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "nats")
    url, logged_in = peer
    await plain.connect(url, error_cb=ignore)
    (await logged_in)[1].write(line)
    assert plain._reading_task is not None
    await plain._reading_task
    assert plain.is_connected


@pytest.mark.parametrize(
    "line", [b"-ERR \r\n", b"INFO x\r\n", b"INFO 5\r\n", b"-ERR '\xff'\r\n", b"HELLO\r\n"]
)
async def test_a_line_that_nats_py_chokes_on_closes_our_client(
    line: bytes, peer: Any, ours: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "nats")
    url, logged_in = peer
    client = await ours(url)
    (await logged_in)[1].write(line)
    await client.closed.wait()
    assert client.last_error == "the server sent data that is not NATS"


async def test_a_dead_port_keeps_plain_nats_py_busy(dead: str, plain: PlainClient) -> None:
    attempts: asyncio.Queue[Exception] = asyncio.Queue()

    async def count(error: Exception) -> None:
        attempts.put_nowait(error)

    attempt = asyncio.create_task(
        plain.connect(dead, error_cb=count, allow_reconnect=False, reconnect_time_wait=0)
    )
    assert [type(await attempts.get()) for _ in range(5)] == [ConnectionRefusedError] * 5
    attempt.cancel()
    await asyncio.wait({attempt})


async def test_plain_nats_py_gives_its_password_to_a_server_without_tls(
    listen: Any, greet: Any, plain: PlainClient
) -> None:
    line = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.set_result(await greet(reader, writer))
        await reader.read()

    url = (await listen(handler)).replace("nats://", "tls://")
    await plain.connect(url, user="agent", password="p", error_cb=ignore)
    assert json.loads((await line).removeprefix(b"CONNECT "))["pass"] == "p"


async def test_a_long_greeting_is_too_much_for_plain_nats_py(
    listen: Any, greet: Any, plain: PlainClient
) -> None:
    url = await listen(lambda reader, writer: greet(reader, writer, connect_urls=URLS))
    with pytest.raises(ValueError, match="limit"):
        await plain.connect(url, error_cb=ignore)


async def test_a_long_greeting_is_read_by_our_client(listen: Any, greet: Any, ours: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, connect_urls=URLS)
        await reader.read()

    client = await ours(await listen(handler))
    assert len(client.discovered_servers) == len(URLS)


async def lose_with_something_left(client: PlainClient, streams: Streams) -> asyncio.Task[None]:
    """The connection ends while something is left to be sent; the task of a subscription."""

    async def hear(_: object) -> None: ...

    task = (await client.subscribe("x", cb=hear))._wait_for_msgs_task
    assert task is not None
    assert client._transport is not None
    streams[1].transport.abort()
    client._transport._io_writer.transport.abort()
    client._pending, client._pending_data_size = [b"PING\r\n"], 6
    return task


async def test_what_cannot_be_sent_leaves_tasks_of_plain_nats_py_behind(
    peer: Any, plain: PlainClient
) -> None:
    url, logged_in = peer
    await plain.connect(url, error_cb=ignore, allow_reconnect=False)
    task = await lose_with_something_left(plain, await logged_in)
    with pytest.raises((OSError, RuntimeError)):
        await plain.close()
    assert not task.done()
    task.cancel()


async def test_what_cannot_be_sent_leaves_no_task_of_our_client_behind(
    peer: Any, ours: Any
) -> None:
    url, logged_in = peer
    client = await ours(url)
    task = await lose_with_something_left(client, await logged_in)
    await client.close()
    await asyncio.wait([task], timeout=5)
    assert task.done()
