"""Agents in processes of their own which publish in an account with JetStream."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from kit.watching import PATIENCE, Watch
from nats_insights import subjects
from nats_insights.connection.connect import connect
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.local import System
from nats_insights.subjects import key

# Epochs come quickly, and an agent counts as silent only when a test has long failed, after five of
# these timeouts: whoever takes over before does so because of the lease.
QUICK = """
interval = "200ms"
gather = {{ timeout = "{timeout}", max_cpu = 1.0 }}
lifecycle = {{ settle = "0s", remind_every = "1h" }}
checks.agent_late.enabled = false
[publish]
server = [{servers}]
user = "{user}"
password = "env://KEEPER_PASSWORD"
"""


class Agents:
    """Processes by the name of their agent, on the servers of a system; each has a log."""

    def __init__(self, system: System, directory: Path, timeout: str = "8s") -> None:
        self.system = system
        self.directory = directory
        self.timeout = timeout
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        *names: str,
        more: Sequence[str] = (),
        publish: System | tuple[str, str, str] | None = None,
    ) -> None:
        """Start agents, each connected to the servers of the system in another order.

        They publish there too, or in another system, or at this URL with a user and a password.
        """
        for name in names:
            urls = [server.url for server in self.system]
            turn = len(self.running) % len(urls)
            urls = urls[turn:] + urls[:turn]
            config = self.directory / f"{key(name)}.toml"
            second, user, secret = urls, *self.system.user("keeper")
            if isinstance(publish, System):
                second, user, secret = [one.url for one in publish], *publish.user("keeper")
            elif publish is not None:
                second, user, secret = [publish[0]], *publish[1:]
            servers = ", ".join(f'"{url}"' for url in second)
            settings = QUICK.format(timeout=self.timeout, servers=servers, user=user)
            config.write_text(f"id = {self._quoted(name)}\n{settings}", "utf-8")
            own, password = self.system.user("agent")
            env = {
                "NATS_URL": ",".join(urls),
                "NATS_USER": own,
                "NATS_PASSWORD": password,
                "KEEPER_PASSWORD": secret,
            }
            with self._log(name).open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [sys.executable, "-m", "nats_insights", "run", "--config", config, *more],
                    env=os.environ | env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def log(self, name: str) -> str:
        """All that an agent has logged, in all its processes."""
        return self._log(name).read_text("utf-8", "replace")

    def kill(self, *names: str) -> None:
        """Kill them as nothing can be caught; on return they are gone."""
        for name in names:
            process = self.running[name]
            process.kill()
            process.wait()

    def stop(self, name: str) -> None:
        """Stop it as a service manager does; on return it has ended, with 0."""
        self.running[name].terminate()
        assert self.running[name].wait(timeout=PATIENCE) == 0

    def freeze(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGCONT)

    def _log(self, name: str) -> Path:
        return self.directory / f"{key(name)}.log"

    @staticmethod
    def _quoted(name: str) -> str:
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


@asynccontextmanager
async def listening(system: System, name: str, user: str = "keeper") -> AsyncIterator[Watch]:
    """A subscriber in the account of the second connection, or as another user."""
    watch = Watch()
    watch.client = await connect(login(system, user, name), name="subscriber")
    watch.running = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]
    try:
        await watch.client.subscribe("$INSIGHTS.>", cb=watch.hear)
        await watch.client.request(subjects.USER_INFO)
        yield watch
    finally:
        watch.running.cancel()
        await watch.client.close()
