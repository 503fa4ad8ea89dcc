"""What `demo` runs: an agent and a subscriber on a real cluster, and the steps of the story."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
from nats.aio.msg import Msg

from nats_insights import checks, config, subjects
from nats_insights.agent.loop import Agent
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.judge.declare import discover
from nats_insights.lab.demo import story
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.lab.servers.local import System
from nats_insights.tell.messages import Advisory

# Epochs come quickly, and nothing waits for a cluster that has just started to settle.
# When a problem ends its clients move: for a moment that looks like churn and cold servers.
CONFIG = """
id = "demo"
interval = "400ms"
checks.agent_late.enabled = false
lifecycle.settle = "0s"
checks.connection_coldspot.open_after = 20
checks.connection_churn.open_after = 100
"""

Say = Callable[[str], Awaitable[None]]
Show = Callable[[Advisory], None]


class Stage:
    """The open codes according to the advisories; `heard` is notified of each advisory."""

    def __init__(self, show: Show) -> None:
        self.show = show
        self.open: set[str] = set()
        self.heard = asyncio.Condition()

    async def hear(self, message: Msg) -> None:
        """Take one advisory in, as any subscriber would."""
        advisory = msgspec.json.decode(message.data, type=Advisory)
        self.show(advisory)
        async with self.heard:
            if advisory.state == "open":
                self.open.add(advisory.code)
            else:
                self.open.discard(advisory.code)
            self.heard.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the advisories received so far make it true."""
        async with self.heard:
            await self.heard.wait_for(condition)


def login(system: System, user: str, server: str) -> Settings:
    """How a user of the system connects to one of its servers."""
    own, url = system.login(user), system[server].url
    if own.signed is None:
        return Settings(servers=(url,), user=own.user, password=own.password)
    return Settings(servers=(url,), user_jwt=own.signed.jwt, user_seed=own.signed.key.seed)


@asynccontextmanager
async def watched(system: System, show: Show) -> AsyncIterator[Stage]:
    """The agent watches from n3, an ordinary account subscribes on n2."""
    stage = Stage(show)
    agent = Agent(discover(checks), config.parse(CONFIG))
    subscriber = await connect(login(system, "ops", "n2"), name="demo-subscriber")
    try:
        await subscriber.subscribe(f"{subjects.ADVISORY}.>", cb=stage.hear)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(agent.run(login(system, "agent", "n3")))
            yield stage
            running.cancel()
    finally:
        with suppress(Exception):
            await subscriber.close()


async def tell(stage: Stage, crowd: Crowd, system: System, say: Say) -> None:
    """All causes, one after another, then the fixes, each until its advisory was received."""
    await story.calm(crowd, system)
    begun = []
    for number, chapter in enumerate(story.chapters(crowd, system), 1):
        await say(f"Problem {number}. {chapter.cause}")
        begun.append((number, chapter, await chapter.begin()))
        await stage.until(lambda code=chapter.code: code in stage.open)  # type: ignore[misc]
    for number, chapter, members in reversed(begun):
        if chapter.end is not None:
            await say(f"Problem {number} is fixed. {chapter.cure}")
            await chapter.end(members)
            await stage.until(lambda code=chapter.code: code not in stage.open)  # type: ignore[misc]
