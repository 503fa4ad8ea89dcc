"""Sends requests to itself through a server, in a process of its own, and times the replies."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from argparse import ArgumentParser

import nats
import uvloop
from nats.aio.msg import Msg

# Not as fast as it can: that would be a load of its own.
_PAUSE_SECONDS = 0.001


async def echo(url: str, user: str, password: str) -> list[tuple[float, float]]:
    """When each request was sent, by the monotonic clock, and the seconds until its reply came.

    Two connections: one asks, one answers. Ends when standard input does.
    """
    asker = await nats.connect(url, user=user, password=password)
    answerer = await nats.connect(url, user=user, password=password)

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await answerer.subscribe("echo", cb=answer)
    await answerer.flush()
    told = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    seen = []
    while not told.done():
        sent = time.monotonic()
        await asker.request("echo", b"", timeout=10)
        seen.append((sent, time.monotonic() - sent))
        await asyncio.sleep(_PAUSE_SECONDS)
    await asker.close()
    await answerer.close()
    return seen


def main() -> None:
    """Print one line of JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("user")
    args = parser.parse_args()
    print(json.dumps(uvloop.run(echo(args.url, args.user, os.environ["NATS_PASSWORD"]))))


if __name__ == "__main__":
    main()
