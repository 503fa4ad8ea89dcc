"""Network namespaces of a test's own, so that servers can be cut off from one another.

One namespace, the hub, holds a bridge and whoever talks to the servers: the test, its clients, the
agent. Each server has a namespace with an address of its own on that bridge. Whoever is cut off
from another has a route that swallows all packets to it, also those of connections that exist.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations

from nats_insights.lab.servers.conf import Host

HUB = "hub"
_CLONE_NEWNET = 0x40000000
# Reads from a pipe that only this process holds open. However this process ends, the pipe ends
# too, and the namespaces go. Names of what was never made are no reason to complain.
_KEEPER = """
trap "" HUP INT TERM
read -r _
for name; do ip netns delete "$name" 2>/dev/null; done
"""


class Unavailable(Exception):
    """No network namespace can be had here; says why."""


class Network:
    """A hub, and hosts around it by name; `cut` and `heal` take two names, or a name and `HUB`."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` of the hosts, 200 at most."""
        run = f"insights-{os.getpid()}-{secrets.token_hex(3)}"
        places = [HUB, *names]
        self.namespaces = {name: f"{run}-{number}" for number, name in enumerate(places)}
        self.addresses = {name: f"10.0.0.{number}" for number, name in enumerate(places, 1)}
        self.cuts: set[frozenset[str]] = set()

    @property
    def hosts(self) -> dict[str, Host]:
        """Where the servers run, as `local.system` takes it."""
        return {
            name: Host(self.addresses[name], ("ip", "netns", "exec", namespace))
            for name, namespace in self.namespaces.items()
            if name != HUB
        }

    def make(self) -> None:
        """Makes the namespaces, the bridge, and a pair of interfaces for each host."""
        for name, namespace in self.namespaces.items():
            _ip("netns", "add", namespace)
            self._ip(name, "link", "set", "lo", "up")
        self._ip(HUB, "link", "add", "bridge", "type", "bridge")
        self._attach(HUB, "bridge")
        for number, (name, namespace) in enumerate(self.namespaces.items()):
            if name != HUB:
                ours, theirs = f"host{number}", ("peer", "name", "eth0", "netns", namespace)
                self._ip(HUB, "link", "add", ours, "type", "veth", *theirs)
                self._ip(HUB, "link", "set", ours, "master", "bridge", "up")
                self._attach(name, "eth0")

    def cut(self, one: str, other: str) -> None:
        """From now on no packet goes from either to the other."""
        self.cuts.add(frozenset((one, other)))
        self._ip(one, "route", "replace", "blackhole", f"{self.addresses[other]}/32")
        self._ip(other, "route", "replace", "blackhole", f"{self.addresses[one]}/32")

    def heal(self, one: str, other: str) -> None:
        """Packets go again; what was lost meanwhile is sent again by TCP in its own time."""
        self._ip(one, "route", "delete", "blackhole", f"{self.addresses[other]}/32")
        self._ip(other, "route", "delete", "blackhole", f"{self.addresses[one]}/32")
        self.cuts.discard(frozenset((one, other)))

    def part(self, *groups: Iterable[str]) -> None:
        """Cuts each member of a group off from those of all other groups."""
        for some, others in combinations(groups, 2):
            for one in some:
                for other in others:
                    self.cut(one, other)

    def heal_all(self) -> None:
        """Heals whatever is cut."""
        for one, other in map(sorted, list(self.cuts)):
            self.heal(one, other)

    def linked(self, one: str, other: str) -> bool:
        """Whether packets go between these two."""
        return frozenset((one, other)) not in self.cuts

    def _attach(self, name: str, device: str) -> None:
        self._ip(name, "address", "add", f"{self.addresses[name]}/24", "dev", device)
        self._ip(name, "link", "set", device, "up")

    def _ip(self, name: str, *words: str) -> None:
        _ip("-n", self.namespaces[name], *words)


@contextmanager
def network(names: Iterable[str]) -> Iterator[Network]:
    """Namespaces for hosts with these names. This thread is in the hub until the block ends.

    What it starts meanwhile, processes and threads, is in the hub too. Unavailable if this
    machine, or this user, can have no namespaces.
    """
    if os.geteuid():
        raise Unavailable("network namespaces can be made by root only")
    if shutil.which("ip") is None:
        raise Unavailable("network namespaces need the command ip, of the package iproute2")
    made = Network(names)
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "keeper", *made.namespaces.values()],
        stdin=subprocess.PIPE,
        process_group=0,
    )
    with keeper:
        made.make()
        with _inside(made.namespaces[HUB]):
            yield made


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """Runs this thread in a namespace, and then where it was before."""
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{namespace}") as within:
        _enter(within.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(descriptor: int) -> None:
    """Moves this thread into the namespace of an open file. Python has it from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise Unavailable(f"this process may not enter a network namespace: {os.strerror(code)}")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip()
        if words[:2] == ("netns", "add"):
            raise Unavailable(f"no network namespace can be made here: {said}")
        raise RuntimeError(f"ip {' '.join(words)}: {said}")
