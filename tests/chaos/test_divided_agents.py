"""Agents in the two parts of a divided system: at most one of them tells anything new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kit.stories import is_one_story
from kit.watching import QUICK, Watch, watching
from nats_insights import config, subjects
from nats_insights.agent.loop import Agent
from nats_insights.connection.connect import connect
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd
from scenario import FOUNDING, OF_SILENCE

pytestmark = [pytest.mark.live, pytest.mark.chaos]

# Gone after four seconds.
SOON = 'gather.timeout = "200ms"\n'


@asynccontextmanager
async def another(system: local.System, watch: Watch, name: str) -> AsyncIterator[Agent]:
    """An agent of that id on n3, and a second subscriber there."""
    settings = f'id = "{name}"\ninterval = "100ms"\n{SOON}{QUICK}'
    agent = Agent([*FOUNDING.values(), *OF_SILENCE.values()], config.parse(settings))
    listener = await connect(login(system, "ops", "n3"), name="subscriber")
    await listener.subscribe("$INSIGHTS.>", cb=watch.hear)
    await listener.request(subjects.USER_INFO)
    running = asyncio.create_task(agent.run(login(system, "agent", "n3")))
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.wait([running])
        await listener.close()


async def test_the_part_with_most_servers_goes_on_and_stays_in_charge(
    start_apart, peers_are, crowd: Crowd
):
    system, network = start_apart({"C1": ["n1", "n2", "n3"]}, options={"n2": "max_connections: 20"})
    user, password = system.user("app")
    await crowd.join(system["n2"].url, 17, user=user, password=password)
    own = f'id = "own"\n{SOON}'
    async with (
        watching(system, listen="n1", more=own) as watch,
        another(system, watch, "other") as other,
    ):
        await watch.until(lambda: ("SERVER_011", "n2") in watch.open)
        await watch.until(lambda: other.election.role == "standby" and other.heir.warm)
        for far in ("n2", "n3"):
            network.cut("n1", far)
        await peers_are(system["n1"], set())
        await watch.until(lambda: other.election.role == "leader")
        await watch.until(lambda: other.auditor.number > 3)
        # It stands by for a moment whenever it claims again.
        await watch.until(lambda: watch.agent.election.role == "leader")
        await crowd.leave(list(crowd))
        await watch.until(lambda: ("SERVER_011", "n2") not in watch.open)
        for far in ("n2", "n3"):
            network.heal("n1", far)
        await watch.until(lambda: watch.agent.election.role == "standby" and watch.agent.heir.warm)
        assert other.election.role == "leader"
        told = [said for said in watch.advisories if said.code in {"SERVER_011", "USER_002"}]
        assert is_one_story(told)
        assert [said.agent.id for said in told if said.state == "resolved"][:1] == ["other"]
