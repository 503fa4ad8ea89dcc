"""`python -m tests.ordinary`: 200 epochs over an ordinary system, and every finding that opens.

Two clusters of three servers with a gateway, a leaf node, JetStream, 2,000 connections that come
and go, a reload, and a rolling upgrade from the oldest to the newest version. It ends with 1 if
anything opens above info.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from contextlib import AsyncExitStack

import msgspec
import uvloop
from msgspec.structs import replace
from nats.aio.msg import Msg
from tests.kit.servers import VERSIONS, binary
from tests.ordinary.clients import Population, connected, converse, work

from nats_insights import checks, config, subjects
from nats_insights.agent.loop import Agent
from nats_insights.connection.connect import connect
from nats_insights.judge.declare import discover
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.messages import Advisory

CLUSTERS = {"EU": ("eu1", "eu2", "eu3"), "US": ("us1", "us2", "us3")}
LEAF = "edge"
SERVERS = (*CLUSTERS["EU"], *CLUSTERS["US"])
DEVICES = [f"device{number:02}" for number in range(1, 41)]
# Connections of each user: 2,000 in all.
USERS = {
    **dict.fromkeys(DEVICES, 25),
    "shop-web": 95,
    "shop-cart": 80,
    "shop-search": 75,
    "orders-api": 90,
    "orders-worker": 85,
    "orders-mail": 75,
    "app": 90,
    "billing": 90,
    "worker": 80,
    "big": 90,
    "batch": 75,
    "reports": 75,
}
ACCOUNTS = {
    "IOT": DEVICES,
    "SHOP": ["shop-web", "shop-cart", "shop-search"],
    "ORDERS": ["orders-api", "orders-worker", "orders-mail", "reports"],
}
# Programs that send and receive: the user and the cluster of each.
PROGRAMS = {
    "front": ("shop-web", "EU"),
    "prices": ("shop-search", "US"),
    "desk": ("orders-api", "EU"),
    "mill": ("orders-worker", "EU"),
}
OPTIONS = "max_connections: 5000"
RELOADED = f'{OPTIONS}\nwrite_deadline: "8s"'
# A busy machine may be late, and the clients run in the same process.
CONFIG = 'interval = "1s"\ngather.max_cpu = 1.0\n'
# Epochs that a server is given to find its peers, before the next one is upgraded.
APART = 5


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=200)
    args = parser.parse_args()
    sys.exit(uvloop.run(run(args.epochs)))


async def run(epochs: int) -> int:
    """Run it, print what opened, and return the exit code."""
    settings = {
        "leaves": {LEAF: CLUSTERS["EU"][0]},
        "accounts": ACCOUNTS,
        "account_options": {"ORDERS": "jetstream: enabled"},
        "jetstream": True,
        "binary": {name: binary(VERSIONS[0]) for name in (*SERVERS, LEAF)},
        "options": OPTIONS,
    }
    with local.system(CLUSTERS, **settings) as system:
        told = await _live(system, epochs)
    return _report(told)


async def _live(system: local.System, epochs: int) -> list[Advisory]:
    """All advisories of so many epochs in which a reload and a rolling upgrade happen."""
    async with AsyncExitStack() as stack:
        population = Population(system, CLUSTERS, await stack.enter_async_context(Crowd()))
        for user, count in USERS.items():
            population.add(user, count)
        await population.fill()
        clients = [
            await stack.enter_async_context(connected(system, user, CLUSTERS[home], name))
            for name, (user, home) in PROGRAMS.items()
        ]
        front, prices, desk, mill = clients
        busy = [population.live(), converse(front, prices), work(desk, mill)]
        tasks = [asyncio.create_task(one) for one in busy]
        try:
            agent = Agent(discover(checks), config.parse(CONFIG))
            told: list[Advisory] = []
            subscriber = await connect(login(system, "ops", "us3"), name="subscriber")

            async def hear(message: Msg) -> None:
                told.append(msgspec.json.decode(message.data, type=Advisory))

            await subscriber.subscribe(f"{subjects.ADVISORY}.>", cb=hear)
            urls = tuple(system[name].url for name in SERVERS)
            own = replace(login(system, "agent", SERVERS[0]), servers=urls)
            tasks.append(asyncio.create_task(agent.run(own)))
            await _epochs(agent, epochs // 4)
            await asyncio.to_thread(system["us2"].reload, RELOADED)
            for home, names in CLUSTERS.items():
                await _epochs(agent, epochs // 8)
                for name in names:
                    await _upgrade(system, population, name)
                    await _epochs(agent, APART)
                print(f"{home} is upgraded", flush=True)
            await _upgrade(system, population, LEAF)
            await _epochs(agent, max(1, epochs - agent.auditor.number))
            await subscriber.close()
            return told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _epochs(agent: Agent, count: int) -> None:
    for _ in range(count):
        number = agent.auditor.number
        while agent.auditor.number == number:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _upgrade(system: local.System, population: Population, name: str) -> None:
    """Stop a server in good order, and start it with the newest version.

    Whether it has found its peers is not asked: these questions would be connections, too.
    """
    population.down.add(name)
    server = system[name]
    server.binary = binary(VERSIONS[-1])
    await asyncio.to_thread(server.restart, settle=False)
    population.down.discard(name)


def _report(told: list[Advisory]) -> int:
    opened = [said for said in told if said.transition == "opened"]
    for said in opened:
        print(f"{said.severity:8} {said.code:16} {said.entity.name:20} {said.summary}")
        print(f"{'':8} {said.evidence}")
    wrong = [said for said in opened if said.severity != "info"]
    print(f"{len(opened)} findings opened, {len(wrong)} of them above info")
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
