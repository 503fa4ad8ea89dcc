"""What `demo --fleet` runs: a simulated fleet as a process of its own, and an agent."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import msgspec
import nats.errors
from nats.aio.msg import Msg

from nats_insights import checks, config, subjects
from nats_insights.agent.loop import Agent
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.errors import InsightsError
from nats_insights.judge.declare import discover
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.local import System
from nats_insights.tell.messages import Advisory, Heartbeat

# The fleet answers on n1, the agent and its audience are on n2.
SERVERS = ("n1", "n2")
# A simulated server is a client, and its replies are bound by max_payload as a client's are.
OPTIONS = {"n1": "max_payload: 64MB"}
# Nothing waits for the fleet to settle; one process answers for all servers, so it gets time, and
# an agent that is late because of that is no news.
CONFIG = """
id = "demo"
interval = "5s"
checks.agent_late.enabled = false
lifecycle = { settle = "0s" }
gather = { timeout = "20s" }
"""
# Every finding that can open has opened by then, with some epochs to spare.
LAST_EPOCH = 5

# What is wrong among ten million connections takes a minute to count.
_ANSWER_SECONDS = 600.0

# The code of a check, and the names of what it is about, the wider one first.
Fault: TypeAlias = tuple[str, tuple[str, ...]]


class Simulator:
    """The process of a simulated fleet, and a client that controls it."""

    def __init__(self, process: Process, client: Client, size: str) -> None:
        self.pid = process.pid
        self.size = size
        self._process = process
        self._client = client

    async def planted(self) -> set[Fault]:
        """What is wrong with the fleet, by its own count of single connections."""
        return set(msgspec.convert(await self._ask("TRUTH"), list[Fault]))

    async def churn(self, share: float) -> None:
        """On this share of the servers one connection is closed and another opened."""
        await self._ask("CHURN", share=share)

    async def ended(self) -> None:
        """Waits for the process to end, which it should not; InsightsError with its last line."""
        raise InsightsError(f"the simulated fleet ended: {await _last_word(self._process)}")

    async def _ask(self, verb: str, **order: Any) -> Any:
        body = msgspec.json.encode(order)
        try:
            reply = await self._client.request(f"FLEET.{verb}", body, timeout=_ANSWER_SECONDS)
        except nats.errors.Error as error:
            raise InsightsError(f"the simulated fleet does not answer: {error}") from None
        return msgspec.json.decode(reply.data)


class Audience:
    """What a subscriber receives, in order, and what is open according to it."""

    def __init__(self, planted: set[Fault]) -> None:
        self.planted = planted
        self.epoch = 0
        self._open: dict[str, Fault] = {}
        self._counted = 0
        self._heard: asyncio.Queue[Heartbeat | Advisory] = asyncio.Queue()

    async def next(self) -> Heartbeat | Advisory:
        """The next message, which counts from now on."""
        said = await self._heard.get()
        if isinstance(said, Heartbeat):
            self.epoch = said.agent.epoch
            self._counted = said.open.critical + said.open.warning + said.open.info
        elif said.state == "open":
            self._open[said.fingerprint] = fault(said)
        else:
            self._open.pop(said.fingerprint, None)
        return said

    @property
    def open(self) -> set[Fault]:
        return set(self._open.values())

    @property
    def complete(self) -> bool:
        """Whether everything planted is open, or has had enough epochs to open."""
        # The heartbeat counts what its epoch has open, and comes before the advisories on that.
        told = len(self._open) == self._counted
        return (told and self.planted <= self.open) or self.epoch > LAST_EPOCH

    async def hear(self, message: Msg) -> None:
        """Take one message in, as any subscriber would."""
        if message.subject.startswith(subjects.HEARTBEAT):
            self._heard.put_nowait(msgspec.json.decode(message.data, type=Heartbeat))
        else:
            self._heard.put_nowait(msgspec.json.decode(message.data, type=Advisory))


def fault(said: Advisory) -> Fault:
    """What an advisory is about, named as the simulator names it."""
    entity = said.entity
    names = (entity.cluster, entity.account, entity.server, entity.user)
    return said.code, tuple(filter(None, names))


@asynccontextmanager
async def simulated(
    system: System, servers: int, connections: int, streams: int = 0
) -> AsyncIterator[Simulator]:
    """A fleet of that size, answering on n1; InsightsError, with its last line, if it cannot.

    `streams` is how many replicas of streams each server has.
    Its process ends with this block. It ends as well when n1 does, and so with this process,
    however that ends.
    """
    user, password = system.user("root")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nats_insights.lab", "fleet", f"{servers}x{connections}"),
        *("--server", system["n1"].url, "--user", user, "--streams", str(streams)),
        env={**os.environ, "NATS_PASSWORD": password},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,  # Ctrl-C is for us; we end it ourselves.
    )
    try:
        assert process.stdout is not None
        ready = (await process.stdout.readline()).decode().strip()
        if not ready:
            raise InsightsError(f"no simulated fleet: {await _last_word(process)}")
        client = await connect(login(system, "root", "n1"), name="demo-simulator")
        try:
            yield Simulator(process, client, ready.removeprefix("ready: "))
        finally:
            with suppress(Exception):
                await client.close()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def watched(system: System, simulator: Simulator) -> AsyncIterator[Audience]:
    """The agent watches from n2, and an ordinary account subscribes there.

    An exception group if the simulator or the agent ends, whatever the body waits for.
    """
    subscriber = await connect(login(system, "ops", "n2"), name="demo-subscriber")
    agent = Agent(discover(checks), config.parse(CONFIG))
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(simulator.ended())]
            audience = Audience(await simulator.planted())
            await subscriber.subscribe("$INSIGHTS.>", cb=audience.hear)
            running.append(tasks.create_task(agent.run(login(system, "agent", "n2"))))
            yield audience
            for task in running:
                task.cancel()
    finally:
        with suppress(Exception):
            await subscriber.close()


async def _last_word(process: Process) -> str:
    assert process.stderr is not None
    said = (await process.stderr.read()).decode("utf-8", "replace").strip()
    return said.rpartition("\n")[2].removeprefix("error: ") or "it printed nothing"
