"""Three agents with one lease and one state, in a cluster whose servers end and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.keeping import KEEP, Kept, keeper, kept
from kit.leading import Agents, listening
from kit.stories import is_one_story
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.lab.servers.local import System

pytestmark = [pytest.mark.live, pytest.mark.long, pytest.mark.timeout(300)]

HOT = ("SERVER_011", "n1")
LEASE = "KV_INSIGHTS_LEASE"
NAMES = ["a", "b", "c"]


@pytest.fixture
def cluster(start_cluster) -> System:
    return start_cluster("n1", "n2", "n3", options={"n1": "max_connections: 100"}, **KEEP)


@pytest.fixture
def agents(cluster: System, tmp_path: Path) -> Iterator[Agents]:
    agents = Agents(cluster, tmp_path)
    yield agents
    agents.kill(*agents.running)
    for name in agents.running:
        print(name, agents.log(name), sep="\n")


async def leader_of(there: Kept, stream: str) -> str:
    found = await there.jetstream.stream(stream)
    return found.cluster.leader if found and found.cluster else ""


async def led_elsewhere(there: Kept, stream: str) -> str:
    """Have another server than n1 lead this stream; which one does."""
    while (name := await leader_of(there, stream)) in ("", "n1"):
        if name:
            await there.client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", timeout=10)
        await asyncio.sleep(0.5)
    return name


async def fill(system: System, crowd: Crowd) -> None:
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 80, user=user, password=password)


@pytest.mark.parametrize("lease", [15.0, 3.0], ids=["longer than an election", "shorter"])
async def test_agents_and_servers_that_are_killed_tell_one_story(cluster, agents, crowd, lease):
    await fill(cluster, crowd)
    async with kept(keeper(cluster, "n1")) as there, listening(cluster, "n1") as watch:
        await there.make(replicas=3, lease=lease)
        agents.start(*NAMES)
        await watch.until(lambda: HOT in watch.open, 60)
        name = await led_elsewhere(there, LEASE)
        cluster[name].kill()
        seen = len([b for b in watch.heartbeats if b.agent.role == "leader"])

        def leading() -> list[str]:
            return [b.agent.id for b in watch.heartbeats if b.agent.role == "leader"][seen:]

        await watch.until(lambda: len(leading()) > 10, 60)
        await asyncio.to_thread(cluster[name].restart)
        await watch.until(lambda: len(leading()) > 20, 60)
        first = leading()[-1]
        agents.kill(first)
        await watch.until(lambda: leading()[-1] != first, 60)
        await crowd.leave(list(crowd))
        await watch.until(lambda: HOT not in watch.open, 60)
        ours = [one for one in watch.advisories if (one.code, one.entity.name) == HOT]
        ours = list({one.id: one for one in ours}.values())
        told = [one.transition for one in ours if one.transition in ("opened", "resolved")]
        assert told == ["opened", "resolved"]
        assert len({one.opened_at for one in ours}) == 1
        assert is_one_story(watch.advisories)
        terms = [b.lease for b in watch.heartbeats if b.agent.role == "leader" and b.lease]
        assert terms == sorted(terms)
