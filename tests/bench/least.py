"""Runs the floor in a process of its own: the same bytes read and decoded, nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import ArgumentParser

import msgspec
import uvloop
from tests.bench.floor import floor
from tests.bench.processes import peak_rss_mib

# More would be cut off by a server with a small max_pending, for the floor reads slowly.
_IN_FLIGHT = 8


def main() -> None:
    """Read rows by server id from standard input, and print the cost, both as JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("user")
    args = parser.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    password = os.environ["NATS_PASSWORD"]
    login = {"user": args.user, "password": password}
    rows = json.load(sys.stdin)
    read = uvloop.run(floor(args.url, rows, **login, in_flight=_IN_FLIGHT))
    told = msgspec.structs.asdict(read)
    told |= {"bytes": read.wire_bytes, "peak_rss_mib": peak_rss_mib()}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
