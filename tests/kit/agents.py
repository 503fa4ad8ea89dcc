"""An agent in a process of its own, which can be killed, and what a subscriber hears of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from kit.watching import PATIENCE, Watch
from nats_insights import subjects
from nats_insights.connection.connect import connect
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.conf import LOOPBACK
from nats_insights.lab.servers.local import Server, System

# Epochs come quickly and nothing waits; a busy machine is nobody's business.
QUICK = """
id = "one"
gather.max_cpu = 1.0
lifecycle.settle = "0s"
checks.agent_late.enabled = false
"""


Process = subprocess.Popen[bytes]
Start = Callable[..., Process]


def start(
    config: Path, server: Server, *more: str | Path, url: str = "", user: str = "agent", log: int
) -> Process:
    """`nats-insights run` with this configuration and `more` arguments, on a server or at its URL.

    `log` is where its log goes, as `subprocess` has it.
    """
    name, password = server.user(user)
    access = {"NATS_URL": url or server.url, "NATS_USER": name, "NATS_PASSWORD": password}
    return subprocess.Popen(
        [sys.executable, "-m", "nats_insights", "run", "--config", config, *more],
        env=os.environ | access,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )


@contextmanager
def starting(server: Server, directory: Path, settings: str) -> Iterator[Start]:
    """`run("other")`: an agent of that id on this server, with these settings; killed at last."""
    running = []

    def run(name: str, *more: str | Path) -> Process:
        config = directory / f"{name}.toml"
        config.write_text(f'id = "{name}"\n{settings}')
        running.append(start(config, server, *more, log=subprocess.DEVNULL))
        return running[-1]

    try:
        yield run
    finally:
        for process in running:
            process.kill()
            process.wait()


class Runs:
    """`nats-insights run` on a system, one process after another, with one log for all."""

    def __init__(self, system: System, directory: Path, config: str = "") -> None:
        self.system = system
        self.directory = directory
        self.log: list[str] = []
        self.state, self.past = directory / "state", directory / "state.past"
        self.config(config)
        self.process: Process

    def config(self, more: str, interval: str = "200ms") -> None:
        """Another configuration for the next process."""
        (self.directory / "agent.toml").write_text(f'interval = "{interval}"{QUICK}{more}')

    def start(self, url: str = "", user: str = "agent") -> Process:
        """Another process, connected to n1 or to this URL."""
        config, server = self.directory / "agent.toml", next(iter(self.system))
        state = ("--state", self.state)
        self.process = start(config, server, *state, url=url, user=user, log=subprocess.PIPE)
        # By a thread: the log must go on where the process may write no file.
        threading.Thread(target=self._log, args=[self.process.stderr], daemon=True).start()
        return self.process

    def _log(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                self.log.append(line.decode().rstrip())

    def stop(self) -> None:
        """Stop it as a service manager does; on return it has ended, with 0."""
        self.process.terminate()
        assert self.process.wait(timeout=PATIENCE) == 0

    def kill(self) -> None:
        """Kill it as nothing can be caught; on return it is gone."""
        self.process.kill()
        self.process.wait()


@asynccontextmanager
async def listening(system: System) -> AsyncIterator[Watch]:
    """A subscriber of account OPS, beside whatever agents there are."""
    watch = Watch()
    (server, *_) = system
    watch.client = await connect(login(system, "ops", server.name), name="subscriber")
    watch.running = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]
    try:
        await watch.client.subscribe("$INSIGHTS.>", cb=watch.hear)
        await watch.client.request(subjects.USER_INFO)
        yield watch
    finally:
        watch.running.cancel()
        await watch.client.close()


class Lossy:
    """A relay between an agent and its server which loses messages of one kind.

    From the first chunk that holds `word` on, nothing passes `way`: "up", to the server, or "down",
    what it replies.
    """

    def __init__(self, target: int, word: bytes, way: str) -> None:
        self.target, self.word, self.way = target, word, way
        self._lost = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> Lossy:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.url = f"nats://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def has_lost(self) -> None:
        """Wait until it loses messages."""
        await asyncio.wait_for(self._lost.wait(), PATIENCE)

    async def _accept(self, up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.target)
        ways = (self._pass(up, writer, "up"), self._pass(reader, down, "down"))
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, down):
            end.close()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str
    ) -> None:
        while data := await source.read(65_536):
            if way == "up" and self.word in data:
                self._lost.set()
            if not (self._lost.is_set() and self.way == way):
                sink.write(data)
        sink.close()
