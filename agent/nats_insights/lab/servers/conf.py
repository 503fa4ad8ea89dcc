"""Writes the configuration of every server of a local system."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from nats_insights.lab.servers.login import Login

LOOPBACK = "127.0.0.1"
OPERATORS = ("root", "agent", "ops")
APPLICATIONS: Mapping[str, Sequence[str]] = {
    "APP": ("app", "billing", "worker"),
    "BIG": ("big", "batch"),
}


PORTS_PER_SERVER = 3
# A leaf joins its hub twice: in each of these accounts, as this user.
LEAF_USERS = {"SYS": "root", "APP": "app"}


class Host(msgspec.Struct, frozen=True):
    """Where a server runs: the address that it listens on, and what a command there begins with."""

    address: str = LOOPBACK
    command: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Which servers a system is to have, and who may log into it."""

    places: Mapping[str, str]  # The cluster of each server, "" for none.
    leaves: Mapping[str, str]  # The hub server of each leaf.
    accounts: str  # As configuration text.
    logins: Mapping[str, Login]
    jetstream: bool
    hosts: Mapping[str, Host]  # Where each server runs, this machine where nothing is said.
    routing: str  # More of the configuration of routes.

    def host(self, name: str) -> Host:
        """Where a server runs."""
        return self.hosts.get(name, Host())

    @property
    def clusters(self) -> dict[str, list[str]]:
        """The servers of each cluster, without those that are in none."""
        clusters: dict[str, list[str]] = {}
        for name, home in self.places.items():
            if home:
                clusters.setdefault(home, []).append(name)
        return clusters


def compose(plan: Plan, ports: Iterable[int], directory: Path) -> dict[str, str]:
    """The configuration of each server of a plan, save its name and its client port.

    `ports` has `PORTS_PER_SERVER` for each: for its routes, its gateway and its leaves. What the
    servers store goes below `directory`.
    """
    free = iter(ports)
    routes, gateways, hubs = (
        {name: f"{plan.host(name).address}:{next(free)}" for name in plan.places} for _ in range(3)
    )
    clusters = plan.clusters
    meeting = {home: [gateways[name] for name in names] for home, names in clusters.items()}
    texts = {}
    for number, (name, home) in enumerate(plan.places.items(), 1):
        lines = [plan.accounts]
        if home:
            peers = [routes[peer] for peer in clusters[home] if peer != name]
            lines.append(cluster(home, routes[name], peers, plan.routing))
        if home and len(clusters) > 1:
            lines.append(gateway(home, gateways[name], meeting))
        if name in plan.leaves:
            users = {account: (u, plan.logins[u].password) for account, u in LEAF_USERS.items()}
            lines.append(leaf(hubs[plan.leaves[name]], users))
        if name in plan.leaves.values():
            lines.append(hub(hubs[name]))
        if plan.jetstream:
            lines.append(f"jetstream {{ store_dir: {quote(f'{directory}/store-{number}')} }}")
        texts[name] = "\n".join(lines)
    return texts


def quote(text: str) -> str:
    """A NATS configuration string. Without ASCII escapes: the format has no `\\u`."""
    return json.dumps(text, ensure_ascii=False)


def accounts(
    passwords: Mapping[str, str],
    applications: Mapping[str, Sequence[str]],
    extras: Mapping[str, str],
) -> str:
    """The accounts of a system: SYS and OPS as `system.conf` has them, and the applications'.

    `passwords` has one for each user, `applications` the users of each account, and `extras`
    what else stands in the account of an application (limits, exports, imports).
    """
    lines = [f"password_{user}: {quote(passwords[user])}" for user in OPERATORS]
    lines += ["accounts {", files(__package__).joinpath("system.conf").read_text("utf-8")]
    for account, users in applications.items():
        members = ", ".join(
            f"{{ user: {quote(user)}, password: {quote(passwords[user])} }}" for user in users
        )
        lines += [f"{quote(account)}: {{ users: [{members}]", extras.get(account, ""), "}"]
    return "\n".join([*lines, "}", "system_account: SYS"])


def cluster(name: str, address: str, peers: Iterable[str], more: str = "") -> str:
    """The routes of a server of cluster `name`: its own address, its peers', and `more` options."""
    listen = f"listen: {quote(address)}"
    return f"cluster {{ name: {quote(name)}, {listen}, routes: {_urls(peers)}, {more} }}"


def gateway(name: str, address: str, clusters: Mapping[str, Iterable[str]]) -> str:
    """The gateway of a server of cluster `name`; `clusters` has the addresses of every cluster."""
    remotes = ", ".join(
        f"{{ name: {quote(remote)}, urls: {_urls(addresses)} }}"
        for remote, addresses in clusters.items()
    )
    listen = f"listen: {quote(address)}"
    return f"gateway {{ name: {quote(name)}, {listen}, gateways: [{remotes}] }}"


def hub(address: str) -> str:
    """The address of a server that leaves join."""
    return f"leafnodes {{ listen: {quote(address)} }}"


def leaf(hub_address: str, users: Mapping[str, tuple[str, str]]) -> str:
    """The connections of a leaf to its hub; `users` has a login for each account to join."""
    remotes = ", ".join(
        f"{{ urls: {_urls([hub_address], ':'.join(login) + '@')}, account: {account} }}"
        for account, login in users.items()
    )
    return f"leafnodes {{ remotes: [{remotes}] }}"


def _urls(addresses: Iterable[str], login: str = "") -> str:
    return "[" + ", ".join(quote(f"nats://{login}{address}") for address in addresses) + "]"
