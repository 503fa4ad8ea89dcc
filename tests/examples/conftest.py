"""Runs the agent and the examples as people run them: as programs of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from kit.programs import Login, Program, ask, connected, environment, line
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd

Run = Callable[..., Awaitable[Program]]
# Epochs come quickly, and nothing waits for a cluster that has just started.
CONFIG = 'id = "test"\ninterval = "500ms"\n[lifecycle]\nsettle = "0s"\n'


@pytest.fixture
def system() -> Iterator[local.System]:
    """A cluster of three servers of this environment's own version."""
    with local.cluster("n1", "n2", "n3") as system:
        yield system


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with Crowd() as crowd:
        yield crowd


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """`await run(server, login, *arguments)`: Python with these arguments, until the test ends."""
    running = []

    async def run(
        server: local.Server, login: Login, *arguments: str | Path, **more: str
    ) -> Program:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            *map(str, arguments),
            env=environment(server, login, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        running.append(program)
        return program

    yield run
    for program in running:
        if program.returncode is None:
            program.kill()
        await program.communicate()  # Closes the pipe as well.


@pytest.fixture
def run_agent(run: Run, tmp_path: Path) -> Run:
    """`await run_agent(server, login, *flags)`: the agent, once it knows its system."""

    async def run_agent(
        server: local.Server, login: Login, *flags: str | Path, **more: str
    ) -> Program:
        config = tmp_path / "agent.toml"
        config.write_text(CONFIG)
        program = await run(
            server, login, "-m", "nats_insights", "run", "--config", config, *flags, **more
        )
        await line(program, "connected to")
        async with connected(server, login) as client:
            await ask(client, "STATUS")
        return program

    return run_agent
