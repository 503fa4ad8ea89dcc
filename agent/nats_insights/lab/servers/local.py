"""Runs real NATS systems on this machine: one server, a cluster, clusters joined by gateways."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from nats_insights.errors import InsightsError
from nats_insights.lab.servers import conf, mesh, operated
from nats_insights.lab.servers.login import Login
from nats_insights.lab.servers.server import PortTaken, Server, find_server, until

__all__ = ["Server", "System", "cluster", "find_server", "server", "system"]

T = TypeVar("T")
Options: TypeAlias = str | Mapping[str, str]
Binary: TypeAlias = Path | Mapping[str, Path] | None

_ATTEMPTS = 5
# Leads the process group of the servers, and reads from a pipe that only this process holds open.
# However this process ends, even by SIGKILL, the pipe ends too, and then the group. (The signal
# that Linux sends at a parent's death comes when the starting *thread* ends: of no use here.)
_KEEPER = 'trap "" HUP INT TERM; read -r _; rm -rf -- "$0"; kill -KILL 0'


class System:
    """Servers connected to one another, by name; made by `server`, `cluster` and `system`."""

    def __init__(
        self, plan: conf.Plan, options: Options, binary: Binary, directory: Path, group: int
    ) -> None:
        self._plan = plan
        self._directory = directory
        self.servers = {
            name: Server(
                name,
                cluster=cluster,
                file=directory / f"server-{number}.conf",
                options=_of(options, name) or "",
                binary=_of(binary, name) or find_server(),
                host=plan.host(name),
                group=group,
                logins=plan.logins,
                settle=self.settle,
            )
            for number, (name, cluster) in enumerate(plan.places.items(), 1)
        }

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers.values())

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self]

    def login(self, name: str) -> Login:
        """How a user logs in."""
        return self._plan.logins[name]

    def user(self, name: str) -> tuple[str, str]:
        """The name of a user, and its password of this run."""
        return name, self._plan.logins[name].password

    def start(self) -> None:
        """Starts all servers, on other ports if some were taken meanwhile."""
        for _ in range(_ATTEMPTS):
            ports = _free_ports(conf.PORTS_PER_SERVER * len(self.servers))
            texts = conf.compose(self._plan, ports, self._directory)
            try:
                for server in self:
                    server.start(texts[server.name])
                return self.settle()
            except PortTaken:
                self.kill()
        raise InsightsError(f"the chosen ports were taken by others, {_ATTEMPTS} times over")

    def kill(self) -> None:
        """Ends all servers, frozen ones too."""
        for server in self:
            server.kill()

    def settle(self) -> None:
        """Waits until all servers that run have found one another.

        Servers without the user `root` cannot be asked: that they run must do.
        """
        if len(self.servers) > 1 and "root" in self._plan.logins:
            until(lambda: mesh.joined(self._plan, self.servers), "the servers to find one another")


@contextmanager
def system(
    clusters: Mapping[str, Sequence[str]],
    *,
    leaves: Mapping[str, str] | None = None,
    accounts: Mapping[str, Sequence[str]] | None = None,
    account_options: Mapping[str, str] | None = None,
    authorization: str | None = None,
    operator: bool = False,
    options: Options = "",
    binary: Binary = None,
    jetstream: bool = False,
    hosts: Mapping[str, conf.Host] | None = None,
    routing: str = "",
) -> Iterator[System]:
    """Runs the servers of `clusters`, joined by gateways if there are several; ends them at last.

    clusters: the names of the servers in each cluster; one server may stand alone, in "".
    leaves: the hub server of each leaf; a leaf joins its hub for the accounts SYS and APP.
    accounts: accounts and their users, in addition to those of every system (`conf.APPLICATIONS`).
    account_options: more of an account's configuration: limits, imports, exports.
    authorization: configuration text instead of all accounts and users.
    operator: the accounts and users are JWTs of an operator. Without leaves, `account_options` and
        JetStream in OPS.
    options: more configuration, for all servers or by a server's name; it overrides the rest.
    binary: the nats-server to run, for all servers or by a server's name.
    jetstream: whether servers and OPS have it. There is a leader on return; its first stream may
        still be refused, until the leader has heard of enough peers.
    hosts: where a server runs if not on this machine's loopback address: see `conf.Host`.
    routing: more configuration of the routes, for all clusters.

    InsightsError, with the last lines of its log, if a server does not start.
    """
    applications = {**conf.APPLICATIONS, **(accounts or {})}
    logins: dict[str, Login] = {}
    if operator:
        authorization, logins = operated.accounts(applications)
    elif authorization is None:
        users = [*conf.OPERATORS, *(user for users in applications.values() for user in users)]
        passwords = {user: secrets.token_hex(12) for user in users}
        logins = {user: Login(user, password) for user, password in passwords.items()}
        authorization = conf.accounts(passwords, applications, account_options or {})
    places = {name: cluster for cluster, names in clusters.items() for name in names}
    plan = conf.Plan(
        places=places | dict.fromkeys(leaves or {}, ""),
        leaves=leaves or {},
        accounts=authorization,
        logins=logins,
        jetstream=jetstream,
        hosts=hosts or {},
        routing=routing,
    )
    with _process_group() as (directory, group):
        running = System(plan, options, binary, directory, group)
        try:
            running.start()
            yield running
        finally:
            running.kill()


def cluster(
    *names: str, cluster_name: str = "C1", **settings: Any
) -> AbstractContextManager[System]:
    """Runs one cluster of servers with these names; `settings` as `system` takes them."""
    return system({cluster_name: names}, **settings)


def server(name: str = "n1", **settings: Any) -> AbstractContextManager[System]:
    """Runs one server that is in no cluster; `settings` as `system` takes them."""
    return system({"": (name,)}, **settings)


@contextmanager
def _process_group() -> Iterator[tuple[Path, int]]:
    """A directory and a process group for servers; neither outlives this block or this process."""
    with tempfile.TemporaryDirectory(
        prefix="nats-insights-", ignore_cleanup_errors=True
    ) as directory:
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, directory], stdin=subprocess.PIPE, process_group=0
        )
        with keeper:
            try:
                yield Path(directory), keeper.pid
            finally:
                os.killpg(keeper.pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on now; somebody may before we do."""
    with ExitStack() as sockets:
        found = []
        for _ in range(count):
            sock = sockets.enter_context(socket.socket())
            sock.bind((conf.LOOPBACK, 0))
            found.append(sock.getsockname()[1])
        return found


def _of(setting: T | Mapping[str, T] | None, name: str) -> T | None:
    """A setting of one server, where it may be the same for all."""
    return setting.get(name) if isinstance(setting, Mapping) else setting
