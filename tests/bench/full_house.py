"""Runs an agent over a fleet in which every user is a finding, and watches the event loop."""

from __future__ import annotations

import asyncio
import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvloop
from tests.bench.cluster import cluster
from tests.bench.pauses import pauses
from tests.bench.processes import peak_rss_mib, run

from nats_insights import checks, subjects
from nats_insights.agent import garbage
from nats_insights.agent.loop import Agent
from nats_insights.config import parse
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.judge.declare import discover
from nats_insights.lab.demo.simulation import OPTIONS, SERVERS
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.serve import serve

# Reminders fall due, so that all of it is published a second time.
CONFIG = """
interval = "2s"
gather.timeout = "20s"
gather.max_cpu = 1.0
lifecycle = { settle = "0s", remind_every = "3s" }
checks.excessive_user_connections.max_connections = 1
"""
QUERIES = {
    "STATUS": {},
    "FINDINGS": {"limit": 1000},
    "FINDINGS of one account": {"account": "APP", "offset": 40_000},
    "FINDINGS by user": {"by": "user"},
    "SERVERS": {},
}


async def full_house(users: int, troubles: list[str]) -> dict[str, Any]:
    """What an agent tells of a fleet in which so many users are findings, and its pauses."""
    fleet = Fleet({"EU": ["a", "b", "c"]})
    for number in range(users):
        fleet.open(fleet.server("a"), User(account="APP", name=f"user{number}"), 2)
    with cluster(*SERVERS, options=OPTIONS, troubles=troubles) as system:
        host, other = system
        user, password = host.user("root")
        async with serve(fleet, host.url, user=user, password=password):
            measured: dict[str, Any] = await asyncio.to_thread(run, "full_house", other, str(users))
    if measured["open"] < users or measured["dropped"]:
        troubles.append(f"{measured['open']} open, {measured['dropped']} advisories dropped")
    return measured


async def measure(args: Namespace, password: str) -> dict[str, Any]:
    """The longest pauses of the loop, as all opens, as it is told again, and as it is asked for."""
    settings = Settings(servers=(args.url,), user=args.user, password=password)
    agent = Agent(discover(checks), parse(CONFIG))
    agent.after_epoch = garbage.collect
    client = await connect(settings, name="bench")
    longest = {}
    watching = asyncio.create_task(agent.run(settings))
    async with pauses() as seen:
        await _until(lambda: len(agent.auditor.lives) >= args.users)
        longest["opening"] = seen.longest
        seen.longest, number = 0.0, agent.auditor.number
        await _until(lambda: agent.auditor.number >= number + 3)
        longest["ordinary epochs and reminders"] = seen.longest
        for name, body in QUERIES.items():
            seen.longest = 0.0
            subject = subjects.api(name.partition(" ")[0])
            for _ in range(5):
                await client.request(subject, json.dumps(body).encode(), timeout=20)
            longest[name] = seen.longest
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await client.close()
    return {
        "open": len(agent.auditor.lives),
        "dropped": agent.advisories.outbox.dropped,
        "longest": longest,
        "peak_rss_mib": peak_rss_mib(),
    }


async def _until(condition: Callable[[], bool]) -> None:
    # Nobody tells the end of an epoch to whoever stands beside the agent.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def main() -> None:
    """Print one line of JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("user")
    parser.add_argument("users", type=int)
    args = parser.parse_args()
    garbage.keep_out_of_epochs()
    print(json.dumps(uvloop.run(measure(args, os.environ["NATS_PASSWORD"]))), flush=True)


if __name__ == "__main__":
    main()
