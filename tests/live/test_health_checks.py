"""Checks of what servers say of their own health: streams that fail, found and cured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import Error

from kit.watching import watching
from nats_insights.checks.server.streams_unhealthy import streams_unhealthy
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers import local

pytestmark = [pytest.mark.live, pytest.mark.long]

# HEALTHZ is asked once a minute else.
OFTEN = 'gather.every.HEALTHZ = "1ms"\ngather.timeout = "300ms"\n'
# Versions on which one message with an expectation that fails stops a replicated stream for good.
FRAGILE = ("2.14.6", "2.15.1")


@asynccontextmanager
async def jetstream(server: local.Server) -> AsyncIterator[JetStreamContext]:
    user, password = server.user("ops")
    client = await nats.connect(server.url, user=user, password=password)
    try:
        yield client.jetstream(timeout=2)
    finally:
        await client.close()


async def succeed(request: Callable[[], Awaitable[object]]) -> None:
    """Until the request is not refused or lost: leaders come and go while a cluster is young."""
    async with asyncio.timeout(30):
        while True:
            try:
                await request()
            except (Error, nats.errors.TimeoutError):
                await asyncio.sleep(0.1)
            else:
                return


async def add_stream(js: JetStreamContext) -> None:
    """A stream of three replicas with one message."""
    config = StreamConfig(name="ORDERS", subjects=["orders.>"], num_replicas=3)
    await succeed(partial(js.add_stream, config))
    await succeed(partial(js.publish, "orders.1", b"an order"))


async def test_a_stream_that_cannot_be_written_is_found_until_it_is_deleted(start_cluster, version):
    if version not in FRAGILE:
        pytest.skip("its streams survive such a message")
    system = start_cluster("n1", "n2", "n3", jetstream=True)
    async with (
        jetstream(system["n1"]) as js,
        watching(system, more=OFTEN, checks=[streams_unhealthy]) as watch,
    ):
        await add_stream(js)
        await watch.epochs(1)
        await watch.until(lambda: not watch.open)  # On a slow machine a young replica is behind.
        before = len(watch.story)
        await watch.epochs(3)
        assert watch.story[before:] == []
        await js._nc.publish("orders.2", headers={"Nats-Expected-Last-Msg-Id": "none"})
        names = {"n1", "n2", "n3"}
        await watch.until(lambda: watch.named("SERVER_015") == names)
        for name in names:
            opened = watch.open["SERVER_015", name]
            (unhealthy,) = opened.evidence["unhealthy"]
            assert (opened.severity, opened.value, opened.unit) == ("critical", 1, "streams")
            assert (unhealthy["account"], unhealthy["stream"]) == ("OPS", "ORDERS")
            assert "write error" in unhealthy["error"]
        with suppress(nats.errors.TimeoutError):  # Deleted all the same: the reply is lost.
            await js.delete_stream("ORDERS")
        await watch.until(lambda: not watch.open)
        assert {transition for transition, *_ in watch.story} == {"opened", "resolved"}


async def test_whoever_may_not_ask_for_health_knows_nothing_of_it_and_asks_once(start_server):
    deny = 'permissions: { publish: { deny: "$SYS.REQ.SERVER.*.HEALTHZ" } }'
    user = f"{{ user: agent, password: alone, {deny} }}"
    accounts = f"accounts {{ SYS: {{ users: [{user}] }} }}\nsystem_account: SYS"
    system = start_server("n1", authorization=accounts)
    agent = Settings(servers=(system["n1"].url,), user="agent", password="alone")
    async with watching(
        system, agent=agent, listen=agent, more=OFTEN, checks=[streams_unhealthy]
    ) as watch:
        await watch.epochs(2)
        outcome = watch.agent.auditor.outcomes["SERVER_015"]
        assert outcome.why == "not permitted: HEALTHZ"
        assert "HEALTHZ" not in watch.heartbeats[-1].cost.endpoints
