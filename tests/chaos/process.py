"""Agents as processes of their own, with quick epochs, that can be killed, frozen and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from msgspec import Struct

from nats_insights.lab.servers.local import System

INTERVAL = 0.5
SETTLE = 2.0
GONE_AFTER = 10.0
_CONFIGURATION = f"""
interval = "{INTERVAL * 1000:.0f}ms"
lifecycle = {{ settle = "{SETTLE}s", gone_after = "{GONE_AFTER}s", remind_every = "4s" }}
gather = {{ timeout = "300ms", max_cpu = 1.0 }}
checks.agent_late.enabled = false
"""
# The account with JetStream in which agents publish, as whom, and the variable of the password.
ACCOUNT, KEEPER, PASSWORD = "KEEP", "keeper", "KEEPER_PASSWORD"
_PUBLISH = f"""
[publish]
user = "{KEEPER}"
password = "env://{PASSWORD}"
"""
_END_SECONDS = 10.0


class House(Struct, frozen=True):
    """How many agents there are, and what they keep: files of their own, JetStream, or nothing.

    `isolated` is whether servers may be cut off from all others: agents on both sides of such a cut
    would both lead where nothing but heartbeats decides. With JetStream a lease does, so that each
    agent may be connected to another server.
    """

    name: str
    agents: int = 1
    state: bool = False
    jetstream: bool = False

    @property
    def isolated(self) -> bool:
        return self.agents == 1 or self.jetstream

    @property
    def mortal(self) -> bool:
        """Whether agents may die: what they know is kept by someone."""
        return self.agents > 1 or self.state or self.jetstream

    @property
    def guests(self) -> int:
        """The most connections to a server, beside the system account's, that nobody in the world
        knows of: each agent publishes on one, and whoever listens has one."""
        return self.agents + 1 if self.jetstream else 0


FORGETFUL = House("forgetful")
ALONE = House("alone", state=True)
PAIR = House("pair", agents=2)
TRIO = House("trio", agents=3, jetstream=True)
HOUSES = {house.name: house for house in (FORGETFUL, ALONE, PAIR, TRIO)}


class Process:
    """One agent: its process of now, and the log of all its processes."""

    def __init__(
        self, name: str, config: Path, log: Path, start: Callable[[], subprocess.Popen[bytes]]
    ) -> None:
        self.name = name
        self.config = config
        self.frozen = False
        self._log = log
        self._start = start
        self._process = start()

    @property
    def ended(self) -> bool:
        """Whether it does not run, whoever ended it."""
        return self._process.poll() is not None

    @property
    def awake(self) -> bool:
        return not self.ended and not self.frozen

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def faults(self) -> list[str]:
        """What its log has that it never should: tracebacks and errors.

        A disk may be too slow for it, and JetStream be away: then it says so, and goes on.
        """
        lines = [
            line
            for line in self.log.splitlines()
            if "the state was not saved" not in line and "; the agent goes on" not in line
        ]
        return [line for line in lines if line.startswith("Traceback") or " ERROR " in line]

    def start(self) -> None:
        """Another process of the same agent."""
        self._process = self._start()

    def kill(self) -> None:
        """It dies at once, also if it is frozen."""
        self._process.kill()
        self._process.wait()
        self.frozen = False

    async def stop(self) -> None:
        """It is told to end, and does; one that does not in time is killed."""
        self.thaw()
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def reload(self, old: str, new: str) -> None:
        """It is told to read its configuration again, in which `old` is `new` from now on."""
        self.config.write_text(self.config.read_text("utf-8").replace(old, new), "utf-8")
        self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
        self.frozen = False


def configuration(system: System, house: House, name: str) -> Path:
    """The file with the configuration of an agent of this name."""
    config = next(iter(system)).log.with_name(f"{name}.toml")
    keeps = _PUBLISH if house.jetstream else ""
    config.write_text(f'id = "{name}"\n{_CONFIGURATION}{keeps}', "utf-8")
    return config


@asynccontextmanager
async def agents(system: System, urls: Sequence[str], house: House) -> AsyncIterator[list[Process]]:
    """The agents of a house, which may connect to the servers at these URLs; they end at last."""
    names = [f"chaos-{number}" for number in range(1, house.agents + 1)]
    turns = [[*urls[n:], *urls[:n]] if house.jetstream else urls for n in range(house.agents)]
    started = [_agent(system, own, house, name) for name, own in zip(names, turns, strict=True)]
    try:
        yield started
    finally:
        for process in started:
            await process.stop()


def _agent(system: System, urls: Sequence[str], house: House, name: str) -> Process:
    config = configuration(system, house, name)
    log = config.with_suffix(".log")
    user, password = system.user("agent")
    environment = {**os.environ, "NATS_PASSWORD": password}
    if house.jetstream:
        _, environment[PASSWORD] = system.user(KEEPER)
    command = [sys.executable, "-m", "nats_insights", "run", "--config", str(config)]
    command += ["--server", ",".join(urls), "--user", user]
    if house.state:
        command += ["--state", str(config.with_suffix(".state"))]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    return Process(name, config, log, start)
