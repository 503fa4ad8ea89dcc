"""`python -m nats_insights.lab.fleet 1000x1000`: a simulated fleet as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress

from nats_insights.errors import InsightsError
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.plant import HEALTHY, Faults, plant
from nats_insights.lab.fleet.serve import serve
from nats_insights.lab.fleet.size import size


def main() -> int:
    """Runs until it is told to end; 3 if it cannot."""
    arguments = _parser().parse_args()
    try:
        asyncio.run(_run(arguments))
    except KeyboardInterrupt:
        pass
    except InsightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


async def _run(arguments: argparse.Namespace) -> None:
    ended = asyncio.current_task()
    assert ended is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.cancel)
    servers, connections = arguments.size
    fleet = plant(
        servers,
        connections,
        clusters=arguments.clusters,
        accounts=arguments.accounts,
        faults=HEALTHY if arguments.healthy else Faults(),
        seed=arguments.seed,
    )
    login = {"user": arguments.user, "password": os.environ.get("NATS_PASSWORD", "")}
    with suppress(asyncio.CancelledError):
        async with serve(fleet, arguments.server, **login) as service:
            service.misbehave(fleet.some(arguments.slow), Misbehaviour(delay=arguments.delay))
            service.misbehave(fleet.some(arguments.hung), Misbehaviour(hung=True))
            total = sum(len(server.cids) for server in fleet.servers)
            print(f"ready: {servers:,} servers, {total:,} connections", flush=True)
            await service.ended.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nats_insights.lab.fleet",
        description="Answers on a system account as many servers. The password is NATS_PASSWORD.",
    )
    add = parser.add_argument
    add("size", type=size, metavar="SERVERSxCONNECTIONS", help="connections of each server")
    url = "nats://127.0.0.1:4222"
    add("-s", "--server", default=url, help="a real server that has `max_payload: 64MB`")
    add("--user", default="root", help="a user of the system account")
    add("--clusters", type=int, help="default: one for ten servers")
    add("--accounts", type=int, default=24, help="of each cluster")
    add("--seed", type=int, default=1, help="the same seed, the same fleet")
    add("--healthy", action="store_true", help="plant no faults")
    add("--hung", type=float, default=0.0, metavar="SHARE", help="servers that never answer")
    add("--slow", type=float, default=0.0, metavar="SHARE", help="servers that answer late")
    add("--delay", type=float, default=0.1, metavar="SECONDS", help="how late (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
