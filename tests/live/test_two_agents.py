"""Two agents on one system: one leads, the other stands by and takes over."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kit.watching import Watch, watching
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.tell.messages import Heartbeat

pytestmark = pytest.mark.live

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def system(binary: Path) -> Iterator[local.System]:
    with local.cluster("n1", "n2", binary=binary) as system:
        yield system


@pytest.fixture
def run(system: local.System, tmp_path: Path) -> Iterator[Start]:
    """`run("other")`: an agent of that id on n2, in a process of its own."""
    running = []

    def run(name: str) -> subprocess.Popen[bytes]:
        config = tmp_path / f"{name}.toml"
        # It counts as gone after three seconds and five of these timeouts.
        quick = 'interval = "150ms"\ngather.timeout = "500ms"\nlifecycle.settle = "0s"\n'
        config.write_text(f'id = "{name}"\n{quick}')
        user, password = system.user("agent")
        login = {"NATS_URL": system["n2"].url, "NATS_USER": user, "NATS_PASSWORD": password}
        process = subprocess.Popen(
            [sys.executable, "-m", "nats_insights", "run", "--config", config],
            env=os.environ | login,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()


def role(watch: Watch, name: str) -> str:
    """What an agent last said of itself."""
    said = [beat.agent.role for beat in watch.heartbeats if beat.agent.id == name]
    return said[-1] if said else ""


async def services(watch: Watch, count: int) -> dict[str, str]:
    """The role of each agent that is seen as a micro service, `count` of them."""
    found: dict[str, str] = {}
    inbox = watch.client.new_inbox()
    subscription = await watch.client.subscribe(inbox)
    await watch.client.publish("insights.srv.PING.insights-agent", b"", reply=inbox)
    while len(found) < count:
        metadata = json.loads((await subscription.next_msg(timeout=10)).data)["metadata"]
        found[metadata["id"]] = metadata["role"]
    await subscription.unsubscribe()
    return found


async def answering(watch: Watch) -> set[str]:
    """Who answers queries, asked several times."""

    async def one(_: int) -> Any:
        reply = await watch.client.request("INSIGHTS.API.STATUS", timeout=10)
        return json.loads(reply.data)["agent"]["id"]

    return set(await asyncio.gather(*map(one, range(20))))


async def test_a_second_agent_stands_by_until_the_first_ends(system, run):
    async with watching(system, more='id = "first"\n') as watch:
        run("second")
        await watch.until(lambda: role(watch, "second") == "standby")
        assert await services(watch, 2) == {"first": "leader", "second": "standby"}
        assert await answering(watch) == {"first"}
        watch.running.remove_done_callback(watch.wake)
        watch.running.cancel()
        await asyncio.wait([watch.running])
        watch.running = asyncio.create_task(asyncio.Event().wait())
        await watch.until(lambda: role(watch, "second") == "leader")
        assert role(watch, "first") == "stopped"
        assert await answering(watch) == {"second"}


async def test_a_frozen_leader_is_replaced_and_leads_again_alone(system, run):
    other = run("other")
    async with watching(system, more='id = "own"\n', after="other") as watch:
        await watch.until(lambda: role(watch, "own") == "standby")
        other.send_signal(signal.SIGSTOP)
        await watch.until(lambda: role(watch, "own") == "leader")
        other.send_signal(signal.SIGCONT)
        # Both lead now; the one that has done so for longer goes on.
        await watch.until(lambda: role(watch, "own") == "standby")
        await watch.until(lambda: role(watch, "other") == "leader")
        assert await services(watch, 2) == {"other": "leader", "own": "standby"}
        assert await answering(watch) == {"other"}
        other.kill()
        await watch.until(lambda: role(watch, "own") == "leader")
        assert await answering(watch) == {"own"}


async def test_an_agent_that_yielded_tells_nothing_of_its_last_reign(start_cluster, crowd):
    system = start_cluster("n1", "n2", options={"n1": "max_connections: 20"})
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 18, user=user, password=password)
    async with watching(system) as watch:
        await watch.until(lambda: ("SERVER_011", "n1") in watch.open)
        senior = await connect(login(system, "root", "n1"), name="senior")
        beats = asyncio.create_task(beat(senior, watch.heartbeats[-1]))
        own = watch.agent.instance
        await watch.until(lambda: watch.agent.role == "standby")
        assert watch.agent.auditor.lives == {}
        await crowd.leave(list(crowd))
        told = len(watch.advisories)
        beats.cancel()
        await watch.until(lambda: watch.agent.role == "leader")
        await watch.until(
            lambda: [b for b in watch.heartbeats if b.agent.instance == own][-1].verdict == "ok"
        )
        await watch.epochs(3)
        assert watch.story[told:] == []
        await senior.close()


async def beat(client: Client, like: Heartbeat) -> None:
    """Publish heartbeats of an agent that has led for longer, until cancelled."""
    for epoch in itertools.count(1):
        now = datetime.now(UTC)
        beat = msgspec.structs.replace(
            like,
            agent=msgspec.structs.replace(like.agent, id="senior", instance=32 * "0", epoch=epoch),
            timestamp=now,
            leading_since=now - timedelta(days=1),
            silent_after_seconds=1.0,
        )
        await client.publish("$INSIGHTS.HEARTBEAT.senior", msgspec.json.encode(beat))
        await asyncio.sleep(0.1)
