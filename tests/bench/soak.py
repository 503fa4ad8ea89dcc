"""`python -m tests.bench.soak`: half-second epochs under churn, and whether anything grows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import uvloop
from tests.bench.cluster import cluster
from tests.bench.processes import command

from nats_insights import checks
from nats_insights.agent import garbage
from nats_insights.agent.loop import Agent
from nats_insights.config import parse
from nats_insights.connection.contexts import Settings
from nats_insights.judge.declare import discover
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd

CONFIG = 'interval = "500ms"\nlifecycle = { settle = "2s", remind_every = "10s" }\n'
EVERY = 20.0
CLIENTS, CHURN = 300, 30
# What is held at the end, at most, of what was held after a third of the time.
GROWTH = 1.05


async def soak(minutes: float, troubles: list[str]) -> list[dict[str, float]]:
    """What the agent's process holds, every 20 seconds, while clients come and go and storms pass.

    A storm is a user that leaks; a server is killed every third minute, and started again.
    """
    with cluster("n1", "n2", "n3", troubles=troubles) as system:
        user, password = system.user("agent")
        urls = ",".join(system[name].url for name in ("n1", "n2", "n3"))
        program = await asyncio.create_subprocess_exec(
            *command("soak", "--agent", urls, user),
            env={**os.environ, "NATS_PASSWORD": password},
            stdout=asyncio.subprocess.PIPE,
        )
        held = []
        try:
            async with Crowd() as crowd, asyncio.timeout(60 * minutes + 60):
                churning = asyncio.create_task(_churn(system, crowd))
                async for sample in _samples(program):
                    held.append(sample)
                    print(json.dumps(sample), flush=True)
                    if len(held) * EVERY >= 60 * minutes or churning.done():
                        break
                churning.cancel()
                with suppress(asyncio.CancelledError):
                    await churning
        finally:
            program.terminate()
            await program.wait()
    early, late = held[len(held) // 3], held[-1]
    troubles += [
        f"{figure} grew from {early[figure]} to {late[figure]}"
        for figure in ("rss_mib", "descriptors", "tasks")
        if late[figure] > GROWTH * early[figure]
    ]
    return held


async def _samples(program: asyncio.subprocess.Process) -> AsyncIterator[dict[str, float]]:
    assert program.stdout is not None
    async for line in program.stdout:
        yield json.loads(line)


async def _churn(system: local.System, crowd: Crowd) -> None:
    rng = random.Random(1)
    user, password = system.user("app")
    leaking, its_password = system.user("billing")
    names = ["n1", "n2", "n3"]
    members: list[object] = []
    for second in range(1_000_000):
        alive = [name for name in names if system[name].running]
        with suppress(OSError, ConnectionError):
            here = system[rng.choice(alive)].url
            members += await crowd.join(here, CHURN, user=user, password=password)
            if second % 60 == 20:
                await crowd.join(here, 110, user=leaking, password=its_password)
        if len(members) > CLIENTS:
            gone, members = members[:CHURN], members[CHURN:]
            await crowd.leave(gone)
        if second % 60 == 40:
            await crowd.leave(list(crowd))
            members = []
        if second % 180 == 90:
            system["n3"].kill()
        if second % 180 == 110:
            await asyncio.to_thread(system["n3"].restart)
        await asyncio.sleep(1.0)


async def watch(urls: str, user: str, password: str) -> None:
    """The agent, and what its process holds."""
    agent = Agent(discover(checks), parse(CONFIG))
    agent.after_epoch = garbage.collect
    garbage.keep_out_of_epochs()
    settings = Settings(servers=tuple(urls.split(",")), user=user, password=password)
    running = asyncio.create_task(agent.run(settings))
    while not running.done():
        await asyncio.sleep(EVERY)
        print(json.dumps(_held(agent)), flush=True)
    await running


def _held(agent: Agent) -> dict[str, float]:
    status = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status if ":" in line)
    return {
        "epoch": agent.auditor.number,
        "rss_mib": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": int(fields["Threads"]),
        "tasks": len(asyncio.all_tasks()),
        "open": len(agent.auditor.lives),
        "failed": agent.auditor.failed,
    }


def main() -> int:
    """Print a line of JSON every 20 seconds; 1 if something grew."""
    parser = ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--agent", nargs=2, metavar=("URLS", "USER"), help="used by itself")
    args = parser.parse_args()
    if args.agent:
        uvloop.run(watch(*args.agent, os.environ["NATS_PASSWORD"]))
        return 0
    troubles: list[str] = []
    uvloop.run(soak(args.minutes, troubles))
    for trouble in troubles:
        print(f"WRONG: {trouble}")
    return int(bool(troubles))


if __name__ == "__main__":
    sys.exit(main())
