"""The checks of what a server says of itself, on real servers: causes, findings and cures."""

from __future__ import annotations

import asyncio
import json
import time
from asyncio import StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from kit.fleet.auditing import auditing
from kit.watching import anywhere, watching
from nats_insights.agent import loop
from nats_insights.checks.server.account_resolution_failure import account_resolution_failure
from nats_insights.checks.server.authentication_not_required import authentication_not_required
from nats_insights.checks.server.clients_not_accepted import clients_not_accepted
from nats_insights.checks.server.clock_offset import clock_offset
from nats_insights.checks.server.connection_readiness_failure import connection_readiness_failure
from nats_insights.checks.server.crash_loop import crash_loop
from nats_insights.checks.server.duplicate_server_name import duplicate_server_name
from nats_insights.checks.server.jetstream_unhealthy import jetstream_unhealthy
from nats_insights.checks.server.memory_near_limit import memory_near_limit
from nats_insights.checks.server.slow_consumers import slow_consumers
from nats_insights.checks.server.stale_connections import stale_connections
from nats_insights.checks.server.stalled_clients import stalled_clients
from nats_insights.checks.server.unexpected_restart import unexpected_restart
from nats_insights.connection.contexts import Settings
from nats_insights.lab.fleet import health
from nats_insights.lab.fleet.model import Fleet
from nats_insights.lab.fleet.model import Server as Simulated
from nats_insights.lab.servers import conf, local

pytestmark = [pytest.mark.live, pytest.mark.long]

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


BRIEF = """
checks.unexpected_restart.within = "3s"
checks.crash_loop = { restarts = 3, window = "6s" }
gather.timeout = "300ms"
"""


async def test_who_crashes_is_found_and_who_is_shut_down_is_not(start_cluster):
    system = start_cluster("n1", "n2", "n3", "n4", "n5")
    agent = anywhere(system, "n1", "n2")
    async with watching(
        system, agent=agent, listen="n4", more=BRIEF, checks=[crash_loop, unexpected_restart]
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
        assert watch.named("SERVER_009") == set()
        while not watch.named("SERVER_009"):
            system["n1"].kill()
            system["n1"].restart()
            await watch.until(lambda: watch.named("SERVER_008"))
            await watch.epochs(1)
        assert {name for _, name in watch.open} == {"n1"}
        await watch.until(lambda: not watch.open)


# It cuts off who is owed more, and who answers no pings.
IMPATIENT = "max_pending: 1MB, ping_interval: 300ms, ping_max: 1"
AT_ONCE = """
checks.slow_consumers = { window = "1s", clients = 1 }
checks.stale_connections.window = "1s"
checks.stalled_clients = { window = "1s", per_second = 1 }
gather.timeout = "300ms"
"""
OLD = ("2.10.26", "2.11.11")  # They count neither stale connections nor pauses.
SLOW = [slow_consumers, stale_connections, stalled_clients]


@pytest.fixture
def often(monkeypatch):
    """Points of the past are kept in each epoch, so that a window of a second is one."""
    for past in (past for check in SLOW for past in check.pasts):
        monkeypatch.setattr(past, "every", 0.01)


async def test_clients_that_are_slow_or_silent_are_found_until_there_are_no_more(
    start_cluster, often, version
):
    system = start_cluster("n1", "n2", "n3", options={"n3": IMPATIENT})
    told = {"SERVER_004"} if version in OLD else {"SERVER_004", "SERVER_013"}
    async with watching(system, more=AT_ONCE, checks=SLOW) as watch:
        await watch.epochs(12)
        assert watch.story == []
        async with flooded(system, "n3"):
            await watch.until(lambda: {code for code, _ in watch.open} >= told)
        assert {name for _, name in watch.open} == {"n3"}
        assert watch.open["SERVER_004", "n3"].unit == "clients"
        if version not in OLD:
            silent = [await ignores(system, "n3") for _ in range(20)]
            await watch.until(lambda: watch.named("SERVER_012"))
            for writer in silent:
                writer.close()
        await watch.until(lambda: not watch.open)


async def test_a_link_that_is_slow_is_found_until_it_is_not(start_cluster, often):
    system = start_cluster("n1", "n2", "n3", options={"n1": "write_deadline: 300ms"})
    async with watching(system, more=AT_ONCE, checks=SLOW) as watch:
        await watch.epochs(2)
        async with flooded(system, "n1", to="n3"):
            await watch.epochs(2)
            assert watch.story == []
            system["n3"].freeze()
            await watch.until(lambda: watch.named("SERVER_004"))
        assert watch.named("SERVER_004") == {"n1"}
        assert watch.open["SERVER_004", "n1"].unit == "links"
        system["n3"].thaw()
        await watch.until(lambda: not watch.open)


@asynccontextmanager
async def flooded(system: local.System, name: str, to: str = "") -> AsyncIterator[None]:
    """A client that publishes without end on a server; another one reads `to`, or nothing there."""
    reads, writes = await ignores(system, to or name), await ignores(system, name)
    reads.write(b"SUB flood 1\r\n")
    await reads.drain()

    async def publish() -> None:
        while True:
            writes.write(b"PUB flood 500000\r\n" + 500_000 * b"x" + b"\r\n")
            await writes.drain()
            await asyncio.sleep(0.01)

    running = asyncio.create_task(publish())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
        for writer in (reads, writes):
            writer.transport.abort()


def limited(memory: str) -> conf.Host:
    """Where a server runs with so much memory."""
    return conf.Host(command=("env", f"GOMEMLIMIT={memory}"))


async def test_what_a_server_is_configured_with_is_found_until_it_is_changed(start_system, version):
    system = start_system({"C1": ("n1", "n2", "n3")}, hosts={"n3": limited("1GiB")})
    soon = "checks.memory_near_limit.open_after = 1\n"
    checks = [clients_not_accepted, memory_near_limit]
    told = set() if version in OLD else {("SERVER_907", "n2")}
    told |= set() if version == "2.10.26" else {("SERVER_906", "n3")}
    async with watching(system, listen="n1", more=soon, checks=checks) as watch:
        await watch.epochs(2)
        assert watch.story == []
        system["n2"].reload("max_connections: -1")
        system["n3"].host = limited("1MiB")
        system["n3"].restart(settle=False)  # Nobody could ask n2 whether they have met.
        await watch.until(lambda: watch.open.keys() == told)
        await watch.epochs(2)
        system["n2"].reload("")
        system["n3"].host = limited("1GiB")
        system["n3"].restart()
        await watch.until(lambda: not watch.open)
        assert {(code, name) for _, code, name in watch.story} == told


async def test_a_server_without_users_is_found_until_it_has_some(start_cluster):
    # A server without accounts has the system account of this name, too.
    users = 'accounts { "$SYS": { users: [{ user: agent, password: alone }] } }'
    open_to_all = {"n3": "accounts {}"}
    system = start_cluster("n1", "n2", "n3", authorization=users, options=open_to_all)
    agent = Settings(servers=(system["n1"].url,), user="agent", password="alone")
    checks = [authentication_not_required]
    async with watching(system, agent=agent, listen=agent, checks=checks) as watch:
        await watch.until(lambda: watch.heartbeats[-1].coverage.servers_answered == 3)
        await watch.epochs(2)
        assert watch.story == []  # It listens on loopback.
    here = "checks.authentication_not_required.loopback = true\n"
    async with watching(system, agent=agent, listen=agent, more=here, checks=checks) as watch:
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "SERVER_007", "n3")]
        system["n3"].options = ""
        system["n3"].restart()
        await watch.until(lambda: ("resolved", "SERVER_007", "n3") in watch.story)


async def test_two_leaf_nodes_of_one_name_are_found_until_one_has_another(start_system):
    # At different servers: at one server each would cut off the other, and they took turns.
    system = start_system({"C1": ("n1", "n2")}, leaves={"l1": "n1", "l2": "n2"})
    checks = [duplicate_server_name, crash_loop]
    async with watching(system, checks=checks) as watch:
        await watch.epochs(2)
        assert watch.story == []
        system["l2"].name = "l1"
        system["l2"].restart(settle=False)
        told = ("SERVER_905", "system")
        await watch.until(lambda: told in watch.open)
        (named,) = watch.open[told].evidence["names"]
        assert (named["name"], len(named["servers"])) == ("l1", 2)
        system["l2"].name = "l2"
        system["l2"].restart(settle=False)
        await watch.until(lambda: not watch.open)
        assert {code for _, code, _ in watch.story} == {"SERVER_905"}


@pytest.mark.parametrize(("wrong", "side"), [(-60.0, "ahead of"), (60.0, "behind")])
async def test_clocks_that_differ_are_found_until_they_agree(
    shared_cluster, monkeypatch, wrong, side
):
    # All servers here share the clock of this machine, so it is the agent that is wrong.
    offset = 0.0
    shown = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + offset)
    monkeypatch.setattr(loop, "time", shown)
    async with watching(shared_cluster, checks=[clock_offset]) as watch:
        await watch.epochs(4)
        assert watch.story == []
        offset = wrong
        await watch.until(lambda: watch.named("SERVER_904") == {"n1", "n2", "n3"})
        for opened in watch.open.values():
            assert (opened.value, side in opened.summary) == (pytest.approx(60, abs=5), True)
        offset = 0.0
        await watch.until(lambda: not watch.open)
