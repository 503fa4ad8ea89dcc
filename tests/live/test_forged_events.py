"""Events that are not true: the restricted user can make a server publish them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.msg import Msg

from kit.watching import PATIENCE, watching
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect, user_info
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

# So many, spread over some epochs, so that they come at every moment of one.
FORGERIES, PAUSE = 50, 0.03


@asynccontextmanager
async def connected(system: local.System, user: str, server: str) -> AsyncIterator[Client]:
    client = await connect(login(system, user, server), name=user)
    try:
        yield client
    finally:
        await client.close()


async def test_a_server_that_answers_is_not_gone_whatever_its_events_say(
    start_cluster, crowd, sys_request
):
    system = start_cluster("n1", "n2", "n3", options={"n2": "max_connections: 48"})
    user, password = system.user("big")
    await crowd.join(system["n2"].url, 40, user=user, password=password)
    # The body of IDZ is that of a SHUTDOWN event, and nobody checks the subject of a reply.
    server_id = (await sys_request(system["n2"], "VARZ"))["server"]["id"]
    goodbye = f"$SYS.SERVER.{server_id}.SHUTDOWN"
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    async with (
        watching(system) as watch,
        connected(system, "root", "n1") as witness,
        connected(system, "agent", "n3") as forger,
    ):
        await watch.until(lambda: len(watch.open) == 3)
        await watch.epochs(1)
        told = watch.story[:]
        await witness.subscribe(goodbye, cb=heard.put)
        await user_info(witness)  # By now the server has subscribed us.
        for _ in range(FORGERIES):
            await forger.publish(f"$SYS.REQ.SERVER.{server_id}.IDZ", reply=goodbye)
            await asyncio.wait_for(heard.get(), PATIENCE)
            await asyncio.sleep(PAUSE)
        await watch.epochs(2)
        assert watch.named("SERVER_011") == {"n2"}
        assert watch.story == told
