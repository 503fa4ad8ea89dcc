"""Start real nats-servers and print how to connect to them."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable

from nats_insights.errors import InsightsError
from nats_insights.lab.servers.context import context_file
from nats_insights.lab.servers.local import system

_USERS = {
    "agent": "restricted user of the system account, for the agent",
    "root": "user of the system account who may do everything",
    "ops": "user of an account that imports the advisories",
    "app": "user of an ordinary account",
}
_KEEPER = {"keep": "user of an account with JetStream, to publish on"}


def options(parser: ArgumentParser) -> None:
    """Arguments of `servers`."""
    parser.add_argument(
        "clusters",
        nargs="*",
        default=["LAB=n1,n2,n3"],
        metavar="CLUSTER=NAMES",
        help="servers of a cluster, such as EU=n1,n2,n3; a name alone is a server without one; "
        "several clusters are joined by gateways",
    )
    parser.add_argument(
        "--leaf", action="append", default=[], metavar="NAME=HUB", help="a leaf node of server HUB"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="TEXT", help="configuration of all servers"
    )
    parser.add_argument(
        "--jetstream", action="store_true", help="enable JetStream, and add an account that has it"
    )


async def run(args: Namespace) -> None:
    """Run the servers until cancelled; InsightsError if they cannot be started."""
    clusters = _clusters(args.clusters)
    names = {name for members in clusters.values() for name in members}
    users = _USERS | (_KEEPER if args.jetstream else {})
    running = system(
        clusters,
        leaves=_leaves(args.leaf, names),
        options="\n".join(args.option),
        jetstream=args.jetstream,
        accounts={"KEEP": ["keep"]} if args.jetstream else {},
        account_options={"KEEP": "jetstream: enabled"} if args.jetstream else {},
    )
    with running as started:
        first = next(iter(started)).name
        for server in started:
            print(f"{server.name:<12} {server.cluster or '-':<12} {server.url}")
        for user, what in users.items():
            print(f"--context {context_file(started, user, first)}  ({what})")
        print("ready: press Ctrl-C to stop", flush=True)
        await asyncio.Event().wait()


def _clusters(texts: Iterable[str]) -> dict[str, list[str]]:
    """Names of servers by cluster, "" for those without one; each name stands once."""
    clusters: dict[str, list[str]] = {}
    seen: set[str] = set()
    for text in texts:
        cluster, _, names = text.rpartition("=")
        for name in names.split(","):
            if not name or name in seen:
                raise InsightsError(f"{text!r} lacks a name, or repeats one: write EU=n1,n2,n3")
            seen.add(name)
            clusters.setdefault(cluster, []).append(name)
    return clusters


def _leaves(texts: Iterable[str], servers: set[str]) -> dict[str, str]:
    """The hub of each leaf node."""
    leaves = {}
    for text in texts:
        name, _, hub = text.partition("=")
        if not name or name in servers or hub not in servers:
            raise InsightsError(f"--leaf {text!r}: write NAME=HUB, where HUB is one of the servers")
        leaves[name] = hub
    return leaves
