"""`python -m tests.bench`: what the agent costs, as ratios measured in one run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import msgspec
import nats

from nats_insights import checks
from nats_insights.agent import Agent
from nats_insights.check import discover
from nats_insights.config import parse
from nats_insights.demo import local, stage, story
from nats_insights.demo.crowd import Crowd
from nats_insights.messages import Advisory

ROUNDS = 5


async def first_advisory() -> float:
    """Seconds from the start of the agent to its first advisory, on an ill demo cluster."""
    with local.cluster(*story.SERVERS, options=story.OPTIONS) as system:
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


def idle() -> dict[str, Any]:
    """The epochs of an agent on three idle servers."""
    with local.cluster("n1", "n2", "n3") as system:
        epochs = _process("epochs", system, "n1", "20")
    cpu = median(one["cpu_seconds"] for one in epochs[1:])
    return {"cpu_seconds": cpu, "peak_rss_mib": epochs[-1]["peak_rss_mib"]}


async def crowded(connections: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """An epoch beside the floor, again and again, with so many connections on one of three."""
    rounds = []
    with local.cluster("n1", "n2", "n3") as system:
        async with Crowd() as crowd:
            user, password = system.user("app")
            await crowd.join(
                system["n1"].url, connections, user=user, password=password, name="client-{i}"
            )
            ids = {server: await _id(system, server) for server in ("n1", "n2", "n3")}
            rows = {ids["n1"]: connections, ids["n2"]: 1, ids["n3"]: 1}
            for _ in range(ROUNDS):
                least = await asyncio.to_thread(_process, "least", system, "n3", json.dumps(rows))
                epoch = await asyncio.to_thread(_process, "epochs", system, "n3", "2")
                rounds.append((epoch[1], least))
    return rounds


async def _id(system: local.System, server: str) -> str:
    user, password = system.user("root")
    client = await nats.connect(system[server].url, user=user, password=password)
    try:
        return str(client._server_info["server_id"])
    finally:
        await client.close()


def _process(what: str, system: local.System, server: str, last: str) -> Any:
    user, password = system.user("root")
    ran = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{what}", system[server].url, user, last],
        env={**os.environ, "NATS_PASSWORD": password},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(ran.stdout)


def main() -> None:
    """Measure and print."""
    seconds = asyncio.run(first_advisory())
    print(f"start to first advisory, epochs every 400 ms      {seconds:.2f} s")
    alone = idle()
    share = alone["cpu_seconds"] / 30
    print(f"idle, three servers, an epoch every 30 s          {share:.3%} of one core")
    print(f"  peak resident memory                            {alone['peak_rss_mib']:.0f} MiB")
    rounds = asyncio.run(crowded(10_000))
    ratio = median(epoch["cpu_seconds"] / least["cpu_seconds"] for epoch, least in rounds)
    epoch = min((epoch for epoch, _ in rounds), key=lambda one: one["cpu_seconds"])
    least = min((least for _, least in rounds), key=lambda one: one["cpu_seconds"])
    print("10,000 real connections on one of three servers")
    for name, cost in (("an epoch", epoch), ("the floor", least)):
        cpu, wall = 1000 * cost["cpu_seconds"], 1000 * cost["wall_seconds"]
        print(f"  {name:<9}  {wall:6.0f} ms, {cpu:6.0f} ms of CPU")
    print(f"  CPU of an epoch                                 {ratio:.1f} x the floor")
    print(
        f"  longest pause of the event loop                 {1000 * epoch['longest_pause']:.0f} ms"
    )


if __name__ == "__main__":
    main()
