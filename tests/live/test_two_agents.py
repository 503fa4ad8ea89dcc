"""Two agents on one system: one leads, the other stands by and takes over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from live.watching import Watch, watching
from nats_insights.demo import local

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
