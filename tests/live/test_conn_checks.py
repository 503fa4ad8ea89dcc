"""The checks about connections, on real servers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest

from kit.watching import watching
from nats_insights.checks.conn.client_pending_pressure import client_pending_pressure
from nats_insights.lab.servers import local

pytestmark = [pytest.mark.live, pytest.mark.long]

QUICK = "gather.every = { CONNZ_PENDING = 0.0 }\n"
PAYLOAD = bytes(256 * 1024)


@asynccontextmanager
async def reader(server: local.Server, name: str) -> AsyncIterator[asyncio.StreamReader]:
    """A client of account APP that subscribed to all of `load`, and reads what the test reads."""
    user, password = server.user("app")
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", server.port))
    incoming, outgoing = await asyncio.open_connection(sock=small, limit=4096)
    options = {"verbose": False, "user": user, "pass": password, "name": name}
    outgoing.write(f"CONNECT {json.dumps(options)}\r\nSUB load 1\r\nPING\r\n".encode())
    while not (await incoming.readline()).startswith(b"PONG"):
        pass
    try:
        yield incoming
    finally:
        outgoing.close()


async def publish(server: local.Server, messages: int) -> None:
    """So many messages of 256 KiB to `load`."""
    user, password = server.user("app")
    client = await nats.connect(server.url, user=user, password=password)
    for _ in range(messages):
        await client.publish("load", PAYLOAD)
        await client.flush()
    await client.close()


async def read_all(incoming: asyncio.StreamReader) -> None:
    while await incoming.read(1024 * 1024):
        pass


async def test_a_client_that_does_not_read_is_found_until_it_does(start_cluster):
    system = start_cluster("n1", "n2", options='write_deadline: "1m"')
    checks = [client_pending_pressure]
    async with (
        reader(system["n2"], "slow") as slow,
        watching(system, more=QUICK, checks=checks) as watch,
    ):
        await watch.epochs(3)
        assert watch.story == []
        await publish(system["n1"], 100)
        await watch.until(lambda: watch.open)
        opened = watch.open["CONN_002", "APP"]
        (named,) = opened.evidence["connections"]["top"]
        assert (named["name"], named["server"], named["user"]) == ("slow", "n2", "app")
        assert named["pending_bytes"] == opened.value > 1024 * 1024
        reading = asyncio.create_task(read_all(slow))
        await watch.until(lambda: not watch.open)
        await watch.epochs(2)
        assert watch.story[-1] == ("resolved", "CONN_002", "APP")
        reading.cancel()
