"""Programs under test: where the examples are, how they log in, what they say."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from nats.aio.client import Client

from nats_insights.lab.servers import local

EXAMPLES = Path(__file__).parents[2] / "examples"
# Seconds to wait for what must come: less than a test may take, so that it ends in good order.
PATIENCE = 40
T = TypeVar("T")
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
    heard = ""
    async with asyncio.timeout(PATIENCE):
        while said := (await program.stdout.readline()).decode():
            if all(word in said for word in words):
                return said.rstrip("\n")
            heard += said
    raise AssertionError(f"it ended with {await program.wait()}, and only said {heard!r}")


async def until(condition: Callable[[], Awaitable[T]]) -> T:
    """What this says, as soon as it says something."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if answer := await condition():
                return answer
            await asyncio.sleep(0.05)


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


async def ask(client: Client, name: str) -> dict[str, Any]:
    """The reply of the agent to one query, as soon as there is an agent that knows something."""

    async def answered() -> dict[str, Any]:
        try:
            reply = await client.request(f"INSIGHTS.API.{name}", timeout=5)
        except nats.errors.NoRespondersError:
            return {}
        return {} if "Nats-Service-Error" in (reply.headers or {}) else json.loads(reply.data)

    return await until(answered)


async def found(client: Client, *codes: str) -> None:
    """Until the findings that are open are those of these checks."""

    async def these_are() -> bool:
        findings = (await ask(client, "FINDINGS"))["findings"]
        return sorted(finding["code"] for finding in findings) == sorted(codes)

    await until(these_are)


def program(variable: str, name: str) -> Path:
    """A program that is no part of this project; the test is skipped where there is none."""
    found = os.environ.get(variable) or shutil.which(name)
    if not found or not os.access(found, os.X_OK):
        pytest.skip(f"there is no program {name}: install it, or name its path in {variable}")
    return Path(found).resolve()
