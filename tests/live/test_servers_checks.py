"""The checks of what a server says of itself, on real servers: causes, findings and cures."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamWriter

import pytest

from kit.fleet.auditing import auditing
from kit.watching import anywhere, watching
from nats_insights.checks.server.account_resolution_failure import account_resolution_failure
from nats_insights.checks.server.connection_readiness_failure import connection_readiness_failure
from nats_insights.checks.server.jetstream_unhealthy import jetstream_unhealthy
from nats_insights.checks.server.unexpected_restart import unexpected_restart
from nats_insights.lab.fleet import health
from nats_insights.lab.fleet.model import Fleet
from nats_insights.lab.fleet.model import Server as Simulated
from nats_insights.lab.servers import conf, local

pytestmark = pytest.mark.live

# HEALTHZ is asked once a minute else.
OFTEN = 'gather.every.HEALTHZ = "1ms"\ngather.timeout = "300ms"\n'


async def test_a_server_in_lame_duck_mode_is_not_reported(start_cluster):
    system = start_cluster("n1", "n2", "n3")
    stays = await ignores(system, "n3")  # Without any client it would end at once.
    async with watching(system, more=OFTEN, checks=[connection_readiness_failure]) as watch:
        (n3,) = watch.agent.auditor.roster.by_name("n3")
        system["n3"].lame_duck()
        await watch.until(lambda: n3.state != "answering")
        await watch.epochs(5)
        assert (watch.story, n3.state) == ([], "hung")
    stays.close()


async def ignores(system: local.System, name: str) -> StreamWriter:
    """A client of account APP that never leaves by itself."""
    user, password = system.user("app")
    reader, writer = await asyncio.open_connection(conf.LOOPBACK, system[name].port)
    hello = json.dumps({"user": user, "pass": password, "verbose": False})
    writer.write(f"CONNECT {hello}\r\nPING\r\n".encode())
    await reader.readuntil(b"PONG\r\n")
    return writer


async def test_a_closed_listener_is_found_until_it_is_open(shared_cluster, monkeypatch):
    # Simulated, as the source has it: a real server ends where it cannot listen.
    def closed(server: Simulated, options: object) -> tuple[int, list[dict[str, str]]]:
        said = "failed to be ready for connections after 1ms: websocket"
        return (500, [{"type": "CONNECTION", "error": said}]) if server.name == "b" else (200, [])

    fleet = Fleet({"C1": ["a", "b", "c"]})
    checks = [connection_readiness_failure]
    async with auditing(fleet, shared_cluster["n1"], config=OFTEN, checks=checks) as watch:
        assert await watch.epochs(3) == []
        monkeypatch.setattr(health, "_problems", closed)
        assert await watch.epochs(3) == [("opened", ("SERVER_001", ("C1", "b")))]
        monkeypatch.undo()
        assert await watch.epochs(2) == [("resolved", ("SERVER_001", ("C1", "b")))]


async def test_an_account_that_does_not_resolve_is_found_until_its_streams_are_removed(
    start_server, tmp_path
):
    store = f'jetstream {{ store_dir: "{tmp_path}" }}'
    system = start_server("n1", options=store)
    checks = [account_resolution_failure]
    async with watching(system, listen="n1", more=OFTEN, checks=checks) as watch:
        await watch.epochs(3)
        assert watch.story == []
        account = tmp_path / "jetstream" / "GONE"
        account.mkdir(parents=True)
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "SERVER_016", "n1")]
        (opened,) = watch.advisories
        assert opened.evidence["accounts"][0]["account"] == "GONE"
        account.rmdir()
        await watch.until(lambda: not watch.open)
        assert watch.story[1:] == [("resolved", "SERVER_016", "n1")]


async def test_a_server_without_a_meta_leader_is_found_until_there_is_one(start_cluster, tmp_path):
    def store(name: str) -> str:
        return f'jetstream {{ store_dir: "{tmp_path / name}" }}'

    system = start_cluster("n1", "n2", "n3", options={"n1": store("n1")})
    async with watching(system, listen="n1", more=OFTEN, checks=[jetstream_unhealthy]) as watch:
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "SERVER_014", "n1")]
        for name in ("n2", "n3"):
            system[name].options = store(name)
            system[name].restart(settle=False)
        await watch.until(lambda: ("resolved", "SERVER_014", "n1") in watch.story)


BRIEF = 'checks.unexpected_restart.within = "3s"\ngather.timeout = "300ms"\n'


async def test_who_crashes_is_found_and_who_is_shut_down_is_not(start_cluster):
    system = start_cluster("n1", "n2", "n3", "n4", "n5")
    agent = anywhere(system, "n1", "n2")
    async with watching(
        system, agent=agent, listen="n4", more=BRIEF, checks=[unexpected_restart]
    ) as watch:
        await watch.epochs(2)
        for name in ("n5", "n1"):
            system[name].restart()
            await watch.epochs(2)
        assert watch.story == []
        system["n5"].kill()
        system["n5"].restart()
        await watch.until(lambda: watch.named("SERVER_008"))
        assert watch.named("SERVER_008") == {"n5"}
        await watch.until(lambda: not watch.open)
        system["n1"].kill()
        system["n1"].restart()
        await watch.until(lambda: watch.named("SERVER_008"))
