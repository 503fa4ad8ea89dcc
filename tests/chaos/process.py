"""The agent as a process of its own, with quick epochs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nats_insights.lab.servers.local import System

INTERVAL = 0.5
SETTLE = 2.0
GONE_AFTER = 10.0
_CONFIGURATION = f"""
id = "chaos"
interval = "{INTERVAL * 1000:.0f}ms"
lifecycle = {{ settle = "{SETTLE}s", gone_after = "{GONE_AFTER}s", remind_every = "4s" }}
gather = {{ timeout = "300ms", max_cpu = 1.0 }}
checks.agent_late.enabled = false
"""
_END_SECONDS = 10.0


class Process:
    """A running agent and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def faults(self) -> list[str]:
        """What its log has that it never should: tracebacks and errors."""
        lines = self.log.splitlines()
        return [line for line in lines if line.startswith("Traceback") or " ERROR " in line]


@asynccontextmanager
async def agent(system: System, urls: Sequence[str]) -> AsyncIterator[Process]:
    """An agent that may connect to the servers at these URLs; it is told to end at last."""
    directory = next(iter(system)).log.parent
    config, log = directory / "agent.toml", directory / "agent.log"
    config.write_text(_CONFIGURATION, "utf-8")
    with _start(system, urls, config, log) as process:
        try:
            yield Process(process, log)
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, _END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _start(system: System, urls: Sequence[str], config: Path, log: Path) -> subprocess.Popen[bytes]:
    name, password = system.user("agent")
    command = [sys.executable, "-m", "nats_insights", "run", "--config", str(config)]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, "--server", ",".join(urls), "--user", name],
            env={**os.environ, "NATS_PASSWORD": password},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
