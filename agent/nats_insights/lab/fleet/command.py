"""Simulate a fleet: one process answers on a real server's system account as many servers.

The password of the user is taken from NATS_PASSWORD.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from nats_insights.errors import InsightsError
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.plant import HEALTHY, Faults, plant
from nats_insights.lab.fleet.serve import serve
from nats_insights.lab.fleet.size import size

# Half a kilobyte each, and more than as much again once they were asked for.
_MOST_REPLICAS = 1_000_000


def options(parser: ArgumentParser) -> None:
    """Arguments of `fleet`."""
    add = parser.add_argument
    add("size", type=size, metavar="SERVERSxCONNECTIONS", help="servers x connections of each")
    url = "nats://127.0.0.1:4222"
    add("-s", "--server", default=url, help="a real server that has `max_payload: 64MB`")
    add("--user", default="root", help="a user of the system account")
    add("--clusters", type=int, help="default: one for ten servers")
    add("--accounts", type=int, default=24, help="accounts of each cluster (%(default)s)")
    add("--streams", type=int, default=0, help="replicas of streams on each server (%(default)s)")
    add("--seed", type=int, default=1, help="the same seed makes the same fleet (%(default)s)")
    add("--healthy", action="store_true", help="plant no faults")
    add("--hung", type=float, default=0.0, metavar="SHARE", help="servers that never reply")
    add("--slow", type=float, default=0.0, metavar="SHARE", help="servers that reply late")
    add("--delay", type=float, default=0.1, metavar="SECONDS", help="how late (%(default)s)")


async def run(args: Namespace) -> None:
    """Serve until cancelled; InsightsError if it cannot, or if the server closes the connection."""
    servers, connections = args.size
    if not 0 <= servers * args.streams <= _MOST_REPLICAS:
        raise InsightsError(f"--streams: at most {_MOST_REPLICAS:,} on all servers together")
    fleet = plant(
        servers,
        connections,
        clusters=args.clusters,
        accounts=args.accounts,
        streams=args.streams,
        faults=HEALTHY if args.healthy else Faults(),
        seed=args.seed,
    )
    login = {"user": args.user, "password": os.environ.get("NATS_PASSWORD", "")}
    async with serve(fleet, args.server, **login) as service:
        service.misbehave(fleet.some(args.slow), Misbehaviour(delay=args.delay))
        service.misbehave(fleet.some(args.hung), Misbehaviour(hung=True))
        total = sum(len(server.cids) for server in fleet.servers)
        print(f"ready: {servers:,} servers, {total:,} connections", flush=True)
        await service.ended.wait()
