"""Measures for how long the event loop lets nobody else run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
    """The pauses of the event loop within this block. To watch takes CPU, some 5 % of a core."""
    seen = Pauses()
    watching = asyncio.create_task(seen.watch())
    try:
        yield seen
    finally:
        watching.cancel()
