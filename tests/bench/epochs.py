"""Runs epochs of the agent in a process of its own, and tells what each cost."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvloop

from nats_insights import checks
from nats_insights.access import recognise
from nats_insights.auditor import Auditor
from nats_insights.check import discover
from nats_insights.config import parse
from nats_insights.connect import connect
from nats_insights.contexts import Settings
from nats_insights.gather import Gatherer

# A simulated fleet answers from one process, so it is given time.
CONFIG = "[gather]\ntimeout = '20s'"


class Pauses:
    """The longest time for which the event loop did nothing else, in seconds."""

    longest = 0.0

    async def watch(self) -> None:
        """Wake every millisecond and see how late that is."""
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - asked - 0.001)


@asynccontextmanager
async def pauses() -> AsyncIterator[Pauses]:
    """The pauses of the event loop within this block."""
    seen = Pauses()
    watching = asyncio.create_task(seen.watch())
    try:
        yield seen
    finally:
        watching.cancel()


async def measure(url: str, user: str, password: str, epochs: int) -> list[dict[str, Any]]:
    """The cost of each of some epochs, one after another, and how many servers answered."""
    settings = Settings(servers=(url,), user=user, password=password)
    client = await connect(settings, name="bench")
    auditor = Auditor(discover(checks), parse(CONFIG))
    auditor.system_accounts |= {(await recognise(client)).account}
    gatherer = Gatherer(client, auditor.config.gather.timeout, auditor.config.gather.window)
    measured = []
    for _ in range(epochs):
        async with pauses() as seen:
            await auditor.epoch(gatherer, time.time(), settle=0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = msgspec.structs.asdict(auditor.cost)
        told |= {"longest_pause": seen.longest, "peak_rss_mib": peak}
        told |= {"answered": auditor.snapshot.coverage.servers_answered}
        measured.append(told)
    await client.close()
    return measured


def main() -> None:
    """Print one line of JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("user")
    parser.add_argument("epochs", type=int)
    args = parser.parse_args()
    password = os.environ["NATS_PASSWORD"]
    print(json.dumps(uvloop.run(measure(args.url, args.user, password, args.epochs))))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
