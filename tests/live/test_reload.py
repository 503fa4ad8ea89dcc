"""SIGHUP: a running agent reads its file again, and goes on whatever is in it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from kit.programs import PATIENCE, Program, ask, connected, environment, line, until
from kit.watching import watching
from nats_insights.config import parse
from nats_insights.gather.small import Gatherer
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

QUICK = 'id = "one"\ninterval = "150ms"\ngather.max_cpu = 1.0\nlifecycle.settle = "0s"\n'
ONLY_ON = "; the agent goes on with its last configuration"


@pytest.fixture(scope="module")
def system(binary: Path) -> Iterator[local.System]:
    with local.cluster("n1", "n2", binary=binary, options={"n1": "max_connections: 40"}) as system:
        yield system


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(QUICK)
    return path


@pytest.fixture
async def client(system: local.System) -> AsyncIterator[Client]:
    """A client of account OPS."""
    async with connected(system["n1"], system.user("ops")) as client:
        yield client


@asynccontextmanager
async def running(system: local.System, *arguments: object) -> AsyncIterator[Program]:
    """`run` in a process of its own, which must end in good order."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nats_insights", "run", *map(str, arguments)),
        env=environment(system["n2"], system.user("agent")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield program
        program.terminate()
        rest, _ = await asyncio.wait_for(program.communicate(), PATIENCE)
        assert (program.returncode, b"Traceback" in rest) == (0, False)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


def hang_up(program: Program) -> None:
    program.send_signal(signal.SIGHUP)


async def parameter(client: Client, check: str, name: str) -> Any:
    """The value in force, as the agent that answers has it."""
    checks = {one["name"]: one for one in (await ask(client, "CHECKS"))["checks"]}
    return next(one["value"] for one in checks[check]["parameters"] if one["name"] == name)


async def findings(client: Client, *codes: str) -> list[dict[str, Any]]:
    """The open findings of two checks, when they are those of these codes."""

    async def these_are() -> list[dict[str, Any]]:
        every = (await ask(client, "FINDINGS"))["findings"]
        both = [one for one in every if one["code"] in ("OPT_BALANCE_002", "SERVER_011")]
        return both if sorted(one["code"] for one in both) == sorted(codes) else []

    return await until(these_are)


def epoch_after(client: Client, number: int) -> Callable[[], Any]:
    async def later() -> bool:
        return (await ask(client, "STATUS"))["epoch"]["number"] > number

    return later


async def test_what_is_open_stays_and_what_was_disabled_is_resolved(system, client, crowd, file):
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 34, user=user, password=password)
    heard: list[dict[str, Any]] = []

    async def hear(message) -> None:
        heard.append(json.loads(message.data))

    await client.subscribe("$INSIGHTS.ADVISORY.>", cb=hear)
    async with running(system, "--config", file) as agent:
        before = await findings(client, "OPT_BALANCE_002", "SERVER_011")
        file.write_text(QUICK + "checks.OPT_BALANCE_002.enabled = false\n")
        hang_up(agent)
        said = await line(agent, "reloaded")
        assert said.endswith(
            "INFO    the configuration was reloaded: "
            "checks.connection_hotspot.enabled is now false, it was true"
        )
        (after,) = await findings(client, "SERVER_011")
        stays = next(one for one in before if one["code"] == "SERVER_011")
        for key in ("fingerprint", "opened_at", "revision"):
            assert after[key] == stays[key]
        file.write_text(QUICK + "checks.connection_count_high.enabled = false\n")
        hang_up(agent)
        await findings(client, "OPT_BALANCE_002")
    resolved = [(one["code"], one["reason"]) for one in heard if one["state"] == "resolved"]
    assert ("OPT_BALANCE_002", "check_disabled") in resolved
    assert ("SERVER_011", "check_disabled") in resolved


WRONG = {
    "intervall = 3": "{file}: there is no key intervall; did you mean interval?",
    "checks.connection_hotspot.ratio = 1": (
        "{file}: checks.connection_hotspot.ratio is refused: 1 is not allowed, it must be above 1"
    ),
    "interval =": "{file} is not TOML: Invalid value (at end of document)",
}


async def test_a_wrong_file_is_refused_as_at_the_start_and_the_agent_goes_on(system, client, file):
    async with running(system, "--config", file) as agent:
        number = (await ask(client, "STATUS"))["epoch"]["number"]
        for text, sentence in WRONG.items():
            file.write_text(text)
            hang_up(agent)
            said = await line(agent, "ERROR")
            assert said.endswith(f"ERROR   {sentence.format(file=file)}{ONLY_ON}")
            with pytest.raises(AssertionError, match="ended with 3") as ended:
                async with running(system, "--config", file) as other:
                    await line(other, "connected to")
            assert f"nats-insights: {sentence.format(file=file)}\\n" in str(ended.value)
        file.unlink()
        hang_up(agent)
        said = await line(agent, "ERROR")
        assert said.endswith(f"cannot read {file}: No such file or directory{ONLY_ON}")
        await until(epoch_after(client, number + 2))
        assert await parameter(client, "connection_hotspot", "ratio") == 2.0
        file.write_text(QUICK + "checks.connection_hotspot.ratio = 3")
        hang_up(agent)
        await line(agent, "connection_hotspot.ratio is now 3, it was 2")


async def test_twice_in_a_row_and_with_nothing_to_change(system, client, file):
    async with running(system, "--config", file) as agent:
        await ask(client, "STATUS")
        hang_up(agent)
        await line(agent, "the configuration was reloaded: nothing changed")
        for ratio in (3, 4):
            file.write_text(f"{QUICK}checks.connection_hotspot.ratio = {ratio}")
            hang_up(agent)
            hang_up(agent)
            await line(agent, f"connection_hotspot.ratio is now {ratio}")

        async def in_force() -> bool:
            return await parameter(client, "connection_hotspot", "ratio") == 4.0

        await until(in_force)


async def test_what_a_flag_sets_and_what_waits_for_a_restart(system, client, file):
    async with running(system, "--config", file, "--interval", "200ms") as agent:
        await ask(client, "STATUS")
        file.write_text(QUICK.replace("150ms", "9s").replace('"one"', '"two"'))
        hang_up(agent)
        said = await line(agent, "reloaded")
        assert said.endswith('id is now "two", it was "one", which takes effect after a restart')
        status = await ask(client, "STATUS")
        assert (status["agent"]["id"], status["epoch"]["interval_seconds"]) == ("one", 0.2)


async def test_another_interval_is_in_force_at_once(system, client, file):
    file.write_text(QUICK.replace("150ms", "1h"))
    async with running(system, "--config", file) as agent:
        assert (await ask(client, "STATUS"))["epoch"]["interval_seconds"] == 3600.0
        file.write_text(QUICK)
        hang_up(agent)
        await line(agent, "interval is now 150ms, it was 1h")
        await until(epoch_after(client, 4))
        file.write_text(QUICK.replace("150ms", "1h"))
        hang_up(agent)
        await line(agent, "interval is now 1h, it was 150ms")

        async def rare() -> bool:
            return (await ask(client, "STATUS"))["epoch"]["interval_seconds"] == 3600.0

        await until(rare)


async def test_without_a_file_there_is_nothing_to_reload(system, client):
    async with running(system, "--interval", "150ms") as agent:
        number = (await ask(client, "STATUS"))["epoch"]["number"]
        hang_up(agent)
        said = await line(agent, "WARNING")
        assert said.endswith(
            "there is no configuration to reload: `run` was started without --config"
        )
        await until(epoch_after(client, number))


async def test_a_signal_before_the_first_epoch_is_not_lost(system, client, tmp_path):
    pipe, another = tmp_path / "agent.toml", tmp_path / "another.toml"
    os.mkfifo(pipe)
    os.mkfifo(another)
    setting = f"{QUICK}checks.connection_hotspot.ratio = "
    async with running(system, "--config", pipe) as agent:
        # It can be opened for writing when the agent is about to read it.
        with await asyncio.to_thread(pipe.open, "w") as writing:
            hang_up(agent)
            another.replace(pipe)  # What is written next does not reach the first reading.
            writing.write(f"{setting}3")
        with await asyncio.to_thread(pipe.open, "w") as writing:
            writing.write(f"{setting}4")
        await line(agent, "connection_hotspot.ratio is now 4, it was 3")
        assert await parameter(client, "connection_hotspot", "ratio") == 4.0


async def test_a_standby_reloads_and_leads_by_the_new_file(system, client, file):
    async with AsyncExitStack() as first:
        await first.enter_async_context(running(system, "--interval", "150ms"))
        await ask(client, "STATUS")
        async with running(system, "--config", file) as standby:
            await line(standby, "standing by")
            file.write_text(QUICK + "checks.connection_hotspot.ratio = 3")
            hang_up(standby)
            await line(standby, "connection_hotspot.ratio is now 3, it was 2")
            assert await parameter(client, "connection_hotspot", "ratio") == 2.0
            await first.aclose()
            await line(standby, "taking over")
            assert await parameter(client, "connection_hotspot", "ratio") == 3.0


async def test_an_epoch_ends_by_the_configuration_with_which_it_began(system, monkeypatch):
    async with watching(system) as watch:
        agent, small = watch.agent, Gatherer.small
        old = agent.auditor.rules
        seen = []

        async def reloading(gatherer: Gatherer, *asked: Any) -> Any:
            reply = await small(gatherer, *asked)
            if not seen:
                agent.reload(parse(f'gather.timeout = "1s"\n{QUICK}'))
                seen.append(agent.auditor.rules is old)
            else:
                seen.append((agent.auditor.rules is old, gatherer.asker.timeout))
            return reply

        monkeypatch.setattr(Gatherer, "small", reloading)
        await watch.until(lambda: len(seen) > 1)
        await watch.epochs(1)
        assert (seen[:2], agent.auditor.failed) == ([True, (False, 1.0)], 0)


async def test_a_terminal_that_is_closed_stops_the_agent(system, file):
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "nats_insights", "run", "--config", str(file)]
        os.execve(sys.executable, command, environment(system["n2"], system.user("agent")))
    said = b""
    while b"connected to" not in said:
        said += await asyncio.to_thread(os.read, terminal, 4096)
    os.close(terminal)
    _, status = await asyncio.wait_for(asyncio.to_thread(os.waitpid, pid, 0), PATIENCE)
    assert os.waitstatus_to_exitcode(status) == 0
