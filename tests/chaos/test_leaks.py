"""A thousand epochs with all that can happen in them leave nothing behind: no task, socket, or
open file, and the memory is that of the epoch 500."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import nats.errors
import pytest
from msgspec import Struct
from msgspec.structs import replace

from kit import servers
from kit.between import Between, between
from kit.keeping import KEEP, keeper, kept
from nats_insights import checks, config, subjects
from nats_insights.agent.loop import Agent
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.judge.declare import discover
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.lab.servers.local import System

pytestmark = [pytest.mark.live, pytest.mark.chaos]


@pytest.fixture(scope="session", params=servers.selected_versions()[-1:])
def version(request):
    """The newest one that is selected: this is about the agent."""
    return request.param


EPOCHS, ROUNDS = 1000, 20
# No file may ask for an epoch every 15 milliseconds. Nothing waits, and nothing is too expensive.
INTERVAL = 0.015
QUICK = """
id = "one"
gather.max_cpu = 1.0
checks.agent_late.enabled = false
lifecycle = { settle = "0s", remind_every = "1s" }
"""
QUERIES = ("STATUS", "FINDINGS", "HISTORY", "SERVERS", "CHECKS")
# What 500 epochs may add: less than an object in each, such as transitions, which are kept for some
# time, and what the allocator rounds up.
MORE_OBJECTS, MORE_BYTES = 450, 2 * 1024 * 1024
_PATIENCE = 30.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Left(Struct):
    """What there is when nothing happens: tasks by what they run, open files by their kind."""

    tasks: Counter[str]
    files: Counter[str]

    @classmethod
    def now(cls) -> Left:
        tasks = Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())
        names = [_target(name) for name in os.listdir("/proc/self/fd")]
        return cls(tasks, Counter(name.partition(":")[0] for name in names))


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return "gone:"  # By which the directory was listed.


class Run:
    """An agent in this process, whose connections can be cut, and who asks it meanwhile."""

    def __init__(self, system: System, agent: Agent, relay: Between, asker: Client) -> None:
        self.system, self.agent, self.relay, self.asker = system, agent, relay, asker
        self.asked = self.answered = 0

    @property
    def epoch(self) -> int:
        return self.agent.auditor.number

    async def until(self, condition: Callable[[], object]) -> None:
        """Until this is so; queries are asked meanwhile."""
        async with asyncio.timeout(_PATIENCE):
            while not condition():
                if self.agent.election.role == "leader" and self.agent.answers.view is not None:
                    await self.ask()
                await asyncio.sleep(INTERVAL)

    async def ask(self) -> None:
        self.asked += 1
        query = QUERIES[self.asked % len(QUERIES)]
        with suppress(nats.errors.Error):  # The connection may be lost with it.
            await self.asker.request(subjects.api(query), timeout=1.0)
            self.answered += 1

    async def round(self, crowd: Crowd, number: int) -> None:
        """A finding opens and resolves; now and then the connections are lost."""
        user, password = self.system.user("app")
        members = await crowd.join(self.system["n1"].url, 21, user=user, password=password)
        await self.until(lambda: self._has("SERVER_011"))
        await crowd.leave(members)
        await self.until(lambda: not self._has("SERVER_011"))
        if number % 4 == 3:
            self.relay.cut()
            self.relay.heal()
            await self.until(lambda: self.agent.election.role == "leader")
        await self.until(lambda: self.epoch >= (number + 1) * EPOCHS / ROUNDS)

    def _has(self, code: str) -> bool:
        return code in {life.key.code for life in self.agent.auditor.lives.values()}

    async def quiet(self, before: Left | None = None) -> Left:
        """The least that there is within two seconds; at once if it is as before."""
        gc.collect()
        least = Left.now()
        for _ in range(200):
            if least == before:
                break
            await asyncio.sleep(0.01)
            least = min(least, Left.now(), key=lambda left: left.tasks.total())
        return least


@asynccontextmanager
async def running(system: System) -> AsyncIterator[Run]:
    """An agent on n1 that publishes into a stream, both through one relay."""
    settings = replace(config.parse(QUICK), interval=INTERVAL)
    agent = Agent(discover(checks), settings)
    async with kept(keeper(system)) as there:
        await there.make()
    asker = await connect(login(system, "root", "n2"), name="asker")
    with between(system["n1"].port) as relay:
        urls = (f"nats://{relay.address}",)
        own, publish = login(system, "agent", "n1"), keeper(system)
        task = asyncio.create_task(
            agent.run(replace(own, servers=urls), replace(publish, servers=urls))
        )
        try:
            yield Run(system, agent, relay, asker)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])
            await asker.close()


def memory() -> tuple[int, int]:
    """Objects that the collector knows, and bytes of this process."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return len(gc.get_objects()), int(statm.read().split()[1]) * _PAGE


@pytest.mark.timeout(100)
async def test_a_thousand_epochs_leave_nothing_behind(start_cluster, crowd):
    system = start_cluster("n1", "n2", options={"n1": "max_connections: 25"}, **KEEP)
    async with running(system) as run:
        for number in range(ROUNDS // 4):
            await run.round(crowd, number)
        before = await run.quiet()
        for number in range(ROUNDS // 4, ROUNDS // 2):
            await run.round(crowd, number)
        objects, size = memory()
        for number in range(ROUNDS // 2, ROUNDS):
            await run.round(crowd, number)
        after = await run.quiet(before)
        objects_now, size_now = memory()
        more_objects, more_bytes = objects_now - objects, size_now - size
        print(run.epoch, "epochs", run.answered, "queries:", more_objects, "objects", more_bytes)
        print(before, len(crowd))
    assert run.epoch >= EPOCHS
    assert run.answered > EPOCHS / 10
    assert after == before
    assert more_objects < MORE_OBJECTS
    assert more_bytes < MORE_BYTES
