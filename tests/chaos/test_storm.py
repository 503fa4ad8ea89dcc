"""A storm of queries: epochs begin when they are due, whatever is asked meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kit import servers
from kit.agents import listening, starting
from kit.storm import Storm
from nats_insights.lab.servers import local

pytestmark = [pytest.mark.live, pytest.mark.chaos]


@pytest.fixture(scope="session", params=servers.selected_versions()[-1:])
def version(request):
    """The newest one that is selected: this is about the agent."""
    return request.param


RATE, SECONDS = 10_000, 10
# As by default, save that what the answers cost on this machine makes no epoch rarer.
QUICK = 'interval = "2s"\ngather.max_cpu = 1.0\n'


async def storm(system: local.System, server: str) -> Storm:
    user, password = system.user("ops")
    tests = str(Path(__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "kit.storm", system[server].url, str(RATE), str(SECONDS)),
        env={**os.environ, "NATS_USER": user, "NATS_PASSWORD": password, "PYTHONPATH": tests},
        stdout=subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return msgspec.json.decode(said, type=Storm)


async def test_ten_thousand_requests_per_second_delay_no_epoch(start_cluster, crowd, tmp_path):
    system = start_cluster("n1", "n2", options={"n1": "max_connections: 20"})
    name, password = system.user("app")
    await crowd.join(system["n1"].url, 15, user=name, password=password)
    with starting(system["n1"], tmp_path, QUICK) as run:
        async with listening(system) as watch:
            run("one")
            await watch.until(lambda: watch.heartbeats and watch.named("SERVER_011"))
            before = watch.heartbeats[-1]
            done = await storm(system, "n2")
            last = watch.heartbeats[-1].agent.epoch
            await watch.until(lambda: watch.heartbeats[-1].agent.epoch > last + 1)
    print(f"{done.sent / done.seconds:,.0f} requests per second, {done.replies:,} answered")
    assert done.sent > RATE
    # What a slower machine cannot answer in time, it answers later, or drops.
    assert 0 < done.replies <= done.sent
    assert done.errors == 0
    assert {beat.agent.instance for beat in watch.heartbeats} == {before.agent.instance}
    assert {beat.epochs_skipped for beat in watch.heartbeats} == {before.epochs_skipped}
    assert {beat.interval_seconds for beat in watch.heartbeats} == {2.0}
    assert [code for _, code, _ in watch.story if code.startswith("AGENT")] == []
