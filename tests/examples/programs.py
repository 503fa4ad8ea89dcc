"""Programs under test: where the examples are, how they log in, what they say."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from nats_insights.demo import local

EXAMPLES = Path(__file__).parents[2] / "examples"
Login = tuple[str, str]
Program = asyncio.subprocess.Process


def environment(server: local.Server, login: Login, **more: str) -> dict[str, str]:
    """The variables by which a program finds its server and logs in, and no others of NATS."""
    user, password = login
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    own = {"NATS_URL": server.url, "NATS_USER": user, "NATS_PASSWORD": password}
    return inherited | own | {"PYTHONUNBUFFERED": "1"} | more


async def line(program: Program, *words: str) -> str:
    """The next line of a program in which these words stand; AssertionError if it ends before."""
    assert program.stdout is not None
    while said := (await program.stdout.readline()).decode():
        if all(word in said for word in words):
            return said.rstrip("\n")
    raise AssertionError(f"it ended with {await program.wait()}, and never said {words}")


@asynccontextmanager
async def connected(server: local.Server, login: Login) -> AsyncIterator[Client]:
    """A client of this server."""
    user, password = login
    client = await nats.connect(
        server.url,
        user=user,
        password=password,
        inbox_prefix=b"_INBOX.insights",
        allow_reconnect=False,
        max_reconnect_attempts=1,
    )
    try:
        yield client
    finally:
        await client.close()


async def ask(client: Client, name: str, **body: Any) -> dict[str, Any]:
    """The reply of the agent to one query, as soon as there is an agent that knows something."""
    while True:
        try:
            request = json.dumps(body).encode()
            reply = await client.request(f"INSIGHTS.API.{name}", request, timeout=5)
            if not (reply.headers or {}).get("Nats-Service-Error"):
                return json.loads(reply.data)
        except nats.errors.NoRespondersError:
            pass
        await asyncio.sleep(0.05)


async def found(client: Client, *codes: str) -> list[dict[str, Any]]:
    """The open findings, as soon as they are those of these checks."""
    while True:
        reply = await ask(client, "FINDINGS")
        if sorted(finding["code"] for finding in reply["findings"]) == sorted(codes):
            return reply["findings"]
        await asyncio.sleep(0.05)
