"""Measures how soon an agent that starts on an ill cluster says so."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import nats
from tests.bench.cluster import cluster

from nats_insights import checks
from nats_insights.agent.loop import Agent
from nats_insights.config import parse
from nats_insights.judge.declare import discover
from nats_insights.lab.demo import stage, story
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.messages import Advisory


async def first_advisory(troubles: list[str]) -> float:
    """Seconds from the start of the agent to its first advisory, on an ill demo cluster."""
    with cluster(*story.SERVERS, options=story.OPTIONS, troubles=troubles) as system:
        async with Crowd() as crowd:
            await story.calm(crowd, system)
            for chapter in story.chapters(crowd, system):
                await chapter.begin()
            user, password = system.user("ops")
            client = await nats.connect(system["n2"].url, user=user, password=password)
            heard = asyncio.get_running_loop().create_future()

            async def hear(message: Any) -> None:
                msgspec.json.decode(message.data, type=Advisory)
                if not heard.done():
                    heard.set_result(time.perf_counter())

            await client.subscribe("$INSIGHTS.ADVISORY.>", cb=hear)
            await client.flush()
            agent = Agent(discover(checks), parse(stage.CONFIG))
            started = time.perf_counter()
            running = asyncio.create_task(agent.run(stage.login(system, "agent", "n3")))
            seconds = await heard - started
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.close()
            return seconds
