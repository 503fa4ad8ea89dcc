"""The checks about accounts, on real servers."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamWriter

import pytest

from kit.watching import watching
from nats_insights.checks.accounts.account_slow_consumers import account_slow_consumers
from nats_insights.lab.servers import conf, local

pytestmark = [pytest.mark.live, pytest.mark.long]

# Servers cut off clients that are owed more than this.
SHORT = "max_pending: 1MB, write_deadline: 5s"


async def says(system: local.System, name: str, *lines: str) -> StreamWriter:
    """A client of account APP that says something, and reads nothing."""
    user, password = system.user("app")
    # All that the server sends waits there: nothing here takes it in.
    _, writer = await asyncio.open_connection(conf.LOOPBACK, system[name].port, limit=1)
    hello = json.dumps({"user": user, "pass": password, "verbose": False})
    writer.write("\r\n".join([f"CONNECT {hello}", *lines, ""]).encode())
    await writer.drain()
    return writer


async def make_slow(system: local.System, name: str) -> list[StreamWriter]:
    """A client that reads nothing, and another one that sends it 16 MB."""
    reading = await says(system, name, "SUB flood 1")
    await asyncio.sleep(0.1)  # It is subscribed before the other one comes.
    writing = await says(system, name, *16 * [f"PUB flood {1_000_000}", 1_000_000 * "x"])
    return [reading, writing]


async def test_slow_consumers_are_found_until_there_are_no_more(start_cluster, crowd):
    system = start_cluster("n1", "n2", "n3", options=SHORT)
    user, password = system.user("app")
    await crowd.join(system["n2"].url, 1, user=user, password=password)
    quick = 'checks.account_slow_consumers.window = "1s"\n'
    async with watching(system, more=quick, checks=[account_slow_consumers]) as watch:
        await watch.epochs(3)
        assert watch.story == []
        writers = await make_slow(system, "n3")
        await watch.until(lambda: watch.open)
        for writer in writers:
            writer.transport.abort()
        assert watch.named("ACCOUNTS_002") == {"APP"}
        (opened,) = watch.advisories
        assert (opened.value, opened.severity) == (1, "warning")
        assert opened.evidence["since_start"] == {"top": [["n3", 1]], "left_out": 0}
        system["n3"].restart()  # Which counts from its start.
        await watch.until(lambda: not watch.open)
        await watch.epochs(3)
        assert watch.story[1:] == [("resolved", "ACCOUNTS_002", "APP")]
