"""An agent on a real system, and what a subscriber in an ordinary account hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights import config, subjects
from nats_insights.agent.loop import Agent
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.judge.declare import Check
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.local import System
from nats_insights.tell.messages import Advisory, Heartbeat, Ledger
from scenario import FOUNDING, OF_SILENCE

# Epochs come quickly, nothing waits for a cluster to settle, and nothing is told twice.
# Such epochs come late where tests share a machine, and cost what all that runs in here costs.
QUICK = 'lifecycle = { settle = "0s", remind_every = "1h" }\n'
# A busy machine may be late, and that is nobody's business.
AT_ITS_LEISURE = "gather.max_cpu = 1.0\nchecks.agent_late.enabled = false\n"
PATIENCE = 20.0
# What an agent runs where a test names no checks.
KNOWN: tuple[Check, ...] = (*FOUNDING.values(), *OF_SILENCE.values())


class Watch:
    """All that was heard, oldest first; `open` has the last word on each open finding.

    `claims` are the heartbeats of agents that claim to lead, `heartbeats` all others.
    """

    def __init__(self) -> None:
        self.advisories: list[Advisory] = []
        self.heartbeats: list[Heartbeat] = []
        self.ledgers: list[Ledger] = []
        self.claims: list[Heartbeat] = []
        self.messages: list[Msg] = []
        self.agent: Agent
        self.running: asyncio.Task[None]
        self.client: Client
        self.changed = asyncio.Event()

    @property
    def open(self) -> dict[tuple[str, str], Advisory]:
        """What is open, by code and name of the entity."""
        last = {(said.code, said.entity.name): said for said in self.advisories}
        return {key: said for key, said in last.items() if said.state == "open"}

    def severity(self, code: str, name: str) -> str:
        """That of an open finding; "" between two severities, when one is resolved already."""
        said = self.open.get((code, name))
        return "" if said is None else str(said.severity)

    @property
    def story(self) -> list[tuple[str, str, str]]:
        """Every transition: what, of which check, about whom."""
        return [(said.transition, said.code, said.entity.name) for said in self.advisories]

    def named(self, code: str) -> set[str]:
        """The entities of which a check has an open finding."""
        return {name for found, name in self.open if found == code}

    async def until(self, condition: Callable[[], object], patience: float = PATIENCE) -> None:
        """Until what was heard makes it true; AssertionError if that takes unreasonably long."""
        try:
            async with asyncio.timeout(patience):
                while not condition():
                    assert not self.running.done(), f"the agent ended: {self.running}"
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            last = self.heartbeats[-1:]
            raise AssertionError(f"in vain; heard {self.story}, last {last}") from None

    async def epochs(self, count: int = 2) -> None:
        """Until so many epochs have begun, ended and been told of from now on."""
        # Of an epoch the heartbeat comes first, so that of the next one proves it complete.
        number = self.agent.auditor.number + count + 1
        await self.until(lambda: self.heartbeats and self.heartbeats[-1].agent.epoch >= number)

    async def hear(self, message: Msg) -> None:
        """Take one message in, as any subscriber would."""
        self.messages.append(message)
        if message.subject.startswith(subjects.HEARTBEAT):
            beat = msgspec.json.decode(message.data, type=Heartbeat)
            (self.claims if beat.claims else self.heartbeats).append(beat)
        elif message.subject.startswith(subjects.LEDGER):
            self.ledgers.append(msgspec.json.decode(message.data, type=Ledger))
        else:
            self.advisories.append(msgspec.json.decode(message.data, type=Advisory))
        self.wake()

    def wake(self, *_: Any) -> None:
        """Have everybody look again who waits."""
        self.changed.set()


@asynccontextmanager
async def watching(
    system: System,
    agent: str | Settings = "n1",
    listen: str | Settings = "n2",
    more: str = "",
    interval: str = "100ms",
    after: str = "",
    pace: str = AT_ITS_LEISURE,
    checks: Iterable[Check] = FOUNDING.values(),
    publish: Settings | None = None,
) -> AsyncIterator[Watch]:
    """An agent on server `agent`, and a subscriber of account OPS on server `listen`.

    `more` is more configuration, `pace` that of late and dear epochs. The agent starts when the one
    called `after` has been heard, if one is given. It runs `checks`, and tells of itself and of
    silence too. It publishes as `publish` says, if anything. On return its first epoch has ended,
    or it stands by.
    """
    watch = Watch()
    own = agent if isinstance(agent, Settings) else login(system, "agent", agent)
    outside = listen if isinstance(listen, Settings) else login(system, "ops", listen)
    watch.client = await connect(outside, name="subscriber")
    settings = f'{more}interval = "{interval}"\n{QUICK}{pace}'
    watch.agent = Agent([*checks, *OF_SILENCE.values()], config.parse(settings))
    try:
        await watch.client.subscribe("$INSIGHTS.>", cb=watch.hear)
        await watch.client.request(subjects.USER_INFO)  # By now the server has subscribed us.
        while after and after not in {beat.agent.id for beat in watch.heartbeats}:
            watch.changed.clear()
            await asyncio.wait_for(watch.changed.wait(), PATIENCE)
        watch.running = asyncio.create_task(watch.agent.run(own, publish))
        watch.running.add_done_callback(watch.wake)
        try:
            own_id = watch.agent.instance
            await watch.until(lambda: own_id in {b.agent.instance for b in watch.heartbeats})
            yield watch
        finally:
            watch.running.cancel()
            await asyncio.wait([watch.running], timeout=PATIENCE)
            assert watch.running.cancelled(), f"the agent does not end: {watch.running}"
    finally:
        await watch.client.close()


def anywhere(system: System, *names: str) -> Settings:
    """How the agent connects to the first of these servers that takes it."""
    urls = tuple(system[name].url for name in names)
    return replace(login(system, "agent", names[0]), servers=urls)
