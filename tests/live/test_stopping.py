"""The agent as a service: what systemd hears, and what the others hear when it is stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kit.between import between
from kit.systemd import Manager
from kit.watching import PATIENCE, watching
from nats_insights.agent import advisories, epoch
from nats_insights.agent.advisories import Advisories
from nats_insights.agent.loop import Agent
from nats_insights.agent.systemd import Systemd
from nats_insights.commands.ask import ask
from nats_insights.connection.client import Client
from nats_insights.gather.small import Gatherer
from nats_insights.judge.lifecycle import Told
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.tell.messages import StatusReply

pytestmark = pytest.mark.live

WATCHDOG = 600_000_000


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    with made.socket:
        yield made


async def heard(manager: Manager, word: str) -> dict[str, str]:
    """The next datagram with this word in its status."""
    async with asyncio.timeout(PATIENCE):
        while True:
            fields = await asyncio.to_thread(manager.heard)
            if word in fields["STATUS"]:
                return fields


def emptied(manager: Manager) -> list[bytes]:
    """All that waits in the socket."""
    found = []
    manager.socket.setblocking(False)
    try:
        while True:
            found.append(manager.socket.recv(65_536))
    except BlockingIOError:
        return found
    finally:
        manager.socket.settimeout(PATIENCE)


async def serving(system: local.System, *flags: str, **more: str) -> asyncio.subprocess.Process:
    """The program on a system, with these flags and variables too."""
    user, password = system.user("agent")
    login = {"NATS_URL": system["n1"].url, "NATS_USER": user, "NATS_PASSWORD": password}
    return await started(login | more, *(flags or ("--interval", "200ms")))


async def started(variables: dict[str, str], *flags: str) -> asyncio.subprocess.Process:
    """The program, with these variables and flags."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nats_insights", "run", *flags),
        env=inherited | variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(program: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Its exit code and all that it logged."""
    _, said = await asyncio.wait_for(program.communicate(), PATIENCE)
    return program.returncode, said.decode()


async def test_systemd_hears_of_a_service_from_its_start_to_its_end(start_cluster, manager):
    system = start_cluster("n1", "n2")
    async with watching(system, more='id = "own"\n') as watch:
        variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(WATCHDOG)}
        service = await serving(system, **variables)
        assert await heard(manager, "") == {
            "READY": "1",
            "STATUS": "standing by",
            "WATCHDOG": "1",
        }
        watch.running.remove_done_callback(watch.wake)
        watch.running.cancel()
        await asyncio.wait([watch.running])
        watch.running = asyncio.create_task(asyncio.Event().wait())
        for _ in range(2):
            fields = await heard(manager, "2 of 2 servers answered, 0 open in epoch ")
            assert fields.keys() == {"READY", "STATUS", "WATCHDOG"}
        service.send_signal(signal.SIGTERM)
        assert await heard(manager, "stopping") == {"STOPPING": "1", "STATUS": "stopping"}
        code, said = await ended(service)
        assert (code, said.splitlines()[-1].split()[-1]) == (0, "stopped")
        await watch.until(lambda: watch.heartbeats[-1].agent.role == "stopped")
        assert watch.heartbeats[-1].agent.id != "own"


async def test_an_agent_without_a_connection_is_alive_and_says_why(start_server, manager):
    system = start_server("n1")
    service = await serving(system, NOTIFY_SOCKET=manager.address)
    assert (await heard(manager, " in epoch "))["READY"] == "1"
    system["n1"].kill()
    fields = await heard(manager, f"no connection: {system['n1'].url} cannot be reached")
    assert fields.keys() == {"STATUS", "WATCHDOG"}
    service.terminate()
    assert (await ended(service))[0] == 0


async def test_the_watchdog_hears_nothing_of_an_agent_whose_epoch_does_not_end(
    start_cluster, manager, monkeypatch
):
    system = start_cluster("n1", "n2")
    async with watching(system) as watch:
        watch.agent.systemd = Systemd({"NOTIFY_SOCKET": manager.address})
        await heard(manager, " in epoch ")
        stuck = asyncio.Event()

        async def hang(*_: object) -> None:
            stuck.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Gatherer, "small", hang)
        await asyncio.wait_for(stuck.wait(), PATIENCE)
        emptied(manager)
        # It answers, so it is not for want of time that nothing comes.
        for _ in range(3):
            assert (await ask(login(system, "ops", "n2"), "STATUS", StatusReply)).epoch.number
        assert emptied(manager) == []


async def test_an_agent_that_is_stopped_says_all_that_its_epoch_found(
    start_cluster, crowd, monkeypatch
):
    system = start_cluster("n1", "n2", options={"n2": "max_connections: 110"})
    monkeypatch.setattr(advisories, "AT_A_TIME", 1)
    published, left = Advisories.publish, Agent._leave

    async def stopped_meanwhile(some: Advisories, *args: Any) -> None:
        if len(some.untold) > 1:
            watch.running.cancel()
        await published(some, *args)

    async def stopped_again(agent: Agent, client: Client) -> None:
        watch.running.cancel()
        await left(agent, client)

    async with watching(system) as watch:
        agent, running = watch.agent, watch.running
        running.remove_done_callback(watch.wake)
        monkeypatch.setattr(Advisories, "publish", stopped_meanwhile)
        monkeypatch.setattr(Agent, "_leave", stopped_again)
        name, password = system.user("big")
        await crowd.join(system["n2"].url, 103, user=name, password=password)
        await asyncio.wait([running], timeout=PATIENCE)
        assert running.cancelled()
        watch.running = asyncio.create_task(asyncio.Event().wait())
        await watch.until(lambda: watch.heartbeats[-1].agent.role == "stopped")
        is_open = {key.code for key, life in agent.auditor.lives.items() if life.is_open}
        assert {code for code, _ in watch.open} == is_open >= {"SERVER_011", "USER_002"}
        assert not agent.advisories.outbox.waiting


async def test_an_agent_that_is_stopped_before_it_speaks_has_found_nothing(
    start_cluster, crowd, monkeypatch
):
    system = start_cluster("n1", "n2")

    async def stopped_meanwhile(told: list[Told], *_: object) -> None:
        if told:
            watch.running.cancel()
        await asyncio.sleep(0)

    async with watching(system) as watch:
        agent, running = watch.agent, watch.running
        running.remove_done_callback(watch.wake)
        monkeypatch.setattr(epoch, "name_clients", stopped_meanwhile)
        monkeypatch.setattr(agent.auditor, "name_clients", lambda clients, told: told)
        name, password = system.user("big")
        await crowd.join(system["n2"].url, 103, user=name, password=password)
        await asyncio.wait([running], timeout=PATIENCE)
        assert running.cancelled()
        watch.running = asyncio.create_task(asyncio.Event().wait())
        await watch.until(lambda: watch.heartbeats[-1].agent.role == "stopped")
        assert [life for life in agent.auditor.lives.values() if life.is_open] == []
        assert watch.story == []


async def test_the_last_word_of_an_agent_that_is_far_away_is_heard(start_server):
    system = start_server("n1")
    with between(system["n1"].port) as far:
        settings = replace(login(system, "agent", "n1"), servers=(f"nats://{far.address}",))
        async with watching(system, settings, "n1") as watch:
            far.delay = 0.3
            watch.running.remove_done_callback(watch.wake)
            while not watch.running.done():  # As the command `run` does.
                watch.running.cancel()
                await asyncio.wait([watch.running], timeout=1.0)
            watch.running = asyncio.create_task(asyncio.Event().wait())
            await watch.until(lambda: watch.heartbeats[-1].agent.role == "stopped")


async def test_a_server_that_hangs_does_not_keep_the_agent_from_its_end(start_server, tmp_path):
    system = start_server("n1")
    quick = tmp_path / "agent.toml"
    quick.write_text('interval = "100ms"\ngather.timeout = "100ms"\nlifecycle.settle = "0s"\n')
    service = await serving(system, "--config", str(quick))
    assert "joined" in await logged(service, "joined")
    system["n1"].freeze()
    await logged(service, "opened warning SERVER_901")
    service.terminate()
    code, said = await ended(service)
    (lost,) = re.findall("no server has confirmed, and that may be lost: (.*)\n", said)
    assert (code, lost) == (0, "1")
    assert said.endswith("stopped\n")


async def logged(program: asyncio.subprocess.Process, words: str) -> str:
    """The next line of its log with these words."""
    assert program.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while line := (await program.stderr.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"it ended without saying {words!r}")


async def test_an_agent_that_nobody_has_let_in_yet_ends_at_once():
    asked = asyncio.Event()

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(says_nothing, "127.0.0.1", 0) as silent:
        host, port = silent.sockets[0].getsockname()
        service = await started({"NATS_URL": f"{host}:{port}"})
        await asyncio.wait_for(asked.wait(), PATIENCE)
        service.terminate()
        code, said = await ended(service)
    assert (code, said.count("\n")) == (0, 1)
    assert said.endswith("stopped\n")
