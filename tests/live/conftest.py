"""Gives live tests clients that are gone when the test ends, and the commands."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from kit.watching import PATIENCE
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers.crowd import Crowd

Cli = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with Crowd() as crowd:
        yield crowd
        await crowd.leave(list(crowd))


@pytest.fixture
def cli_of(tmp_path: Path) -> Callable[[Settings], Cli]:
    """`cli_of(settings)` runs commands with this log-in: their exit code, and all they printed."""

    def cli_of(settings: Settings) -> Cli:
        variables = {
            "NATS_URL": settings.servers[0],
            "NATS_USER": settings.user,
            "NATS_PASSWORD": settings.password,
            "XDG_CONFIG_HOME": str(tmp_path),
        }
        env = {k: v for k, v in os.environ.items() if not k.startswith("NATS_")} | variables

        async def cli(*arguments: str) -> tuple[int, str]:
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "nats_insights", *arguments),
                env=env,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(PATIENCE):
                output, _ = await program.communicate()
            assert program.returncode is not None
            return program.returncode, output.decode()

        return cli

    return cli_of
