"""Asks how many connections each server holds, for the floor to know what to read."""

from __future__ import annotations

import asyncio

import msgspec
import nats
from msgspec import Struct
from nats.aio.msg import Msg

from nats_insights.lab.servers import local

_SECONDS = 60.0


class Server(Struct):
    id: str


class Varz(Struct):
    connections: int
    leafnodes: int = 0


class Reply(Struct):
    server: Server
    data: Varz


async def held(server: local.Server, servers: int) -> dict[str, int]:
    """Connections by the id of their server; TimeoutError if not so many servers answer."""
    user, password = server.user("root")
    client = await nats.connect(server.url, user=user, password=password)
    rows: dict[str, int] = {}
    complete = asyncio.Event()

    async def hear(message: Msg) -> None:
        reply = msgspec.json.decode(message.data, type=Reply)
        rows[reply.server.id] = reply.data.connections + reply.data.leafnodes
        if len(rows) == servers:
            complete.set()

    inbox = client.new_inbox()
    await client.subscribe(inbox, cb=hear)
    await client.publish("$SYS.REQ.SERVER.PING.VARZ", reply=inbox)
    try:
        await asyncio.wait_for(complete.wait(), _SECONDS)
    finally:
        await client.close()
    return rows
