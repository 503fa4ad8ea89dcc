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


def main() -> None:
    """Print the cost as one line of JSON; `connections` is JSON, rows by server id."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("user")
    parser.add_argument("connections")
    args = parser.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    read = floor(
        args.url,
        json.loads(args.connections),
        user=args.user,
        password=os.environ["NATS_PASSWORD"],
    )
    print(json.dumps(msgspec.structs.asdict(uvloop.run(read))))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
