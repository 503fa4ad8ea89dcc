"""A client of the system account that asks real and simulated servers alike."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from nats_insights.lab.servers import local

SERVERS = 6
# The real server answers as well.
ALL = SERVERS + 1


class Asker:
    """A client of the system account that gathers the replies of a fan-out."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def gather(
        self, endpoint: str, body: object = None, *, count: int, encoding: str | None = None
    ) -> list[Msg]:
        """So many replies to a PING; all there are, since a round trip brings no more."""
        replies: list[Msg] = []
        enough = asyncio.Event()

        async def heard(message: Msg) -> None:
            replies.append(message)
            if len(replies) >= count:
                enough.set()

        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox, cb=heard)
        headers = {"Accept-Encoding": encoding} if encoding else None
        subject = f"$SYS.REQ.SERVER.PING.{endpoint}"
        if endpoint == "STATZ":
            subject = "$SYS.REQ.ACCOUNT.PING.STATZ"
        await self.client.publish(subject, _encoded(body), reply=inbox, headers=headers)
        if count:
            await asyncio.wait_for(enough.wait(), 20)
        await self.control("SIZE")
        await subscription.unsubscribe()
        return replies

    async def ask(self, server_id: str, endpoint: str, body: object = None, **how: Any) -> Msg:
        """The first reply of one server."""
        subject = f"$SYS.REQ.SERVER.{server_id}.{endpoint}"
        return await self.client.request(subject, _encoded(body), **{"timeout": 20, **how})

    async def control(self, verb: str, body: object = None) -> Any:
        """What the simulator answers to an order."""
        reply = await self.client.request(f"FLEET.{verb}", _encoded(body), timeout=20)
        return json.loads(reply.data)


def decoded(message: Msg) -> Any:
    """The JSON of a reply, whatever its encoding."""
    encoding = (message.headers or {}).get("Content-Encoding")
    return json.loads(gzip.decompress(message.data) if encoding == "gzip" else message.data)


def names(replies: list[Msg]) -> list[str]:
    """Who replied, each as often as it did."""
    return sorted(decoded(reply)["server"]["name"] for reply in replies)


def login(host: local.Server) -> dict[str, str]:
    """A user of the system account, as `serve` takes it."""
    return dict(zip(("user", "password"), host.user("root"), strict=True))


def _encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body or {}).encode()
