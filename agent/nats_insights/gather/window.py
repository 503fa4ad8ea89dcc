"""The window: how many bytes of connection rows servers may owe the agent at a time.

A server cuts a requester off that it owes more than `max_pending`, 64 MiB unless configured, and
it does so though the requester reads as fast as it can. So big replies are asked within a window.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SMALLEST = 64 * 1024
# Of what a server may owe a requester, how much it is asked for: its other messages need room too.
SHARE = 3 / 8
# How much of its full size a window wins back in an epoch in which nobody cut the agent off.
GROWTH = 1 / 16


class Window:
    """A weighted semaphore: what is taken never exceeds `size` bytes, first come, first served.

    After a cut-off it is half as large, and from epoch to epoch it grows back to its full size.
    """

    def __init__(self, size: int) -> None:
        self.wanted = self.full = self.size = size
        self.taken = self.peak = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def halve(self) -> None:
        """A server cut the agent off: it was asked for too much at a time."""
        self.size = max(SMALLEST, self.size // 2)

    def grow(self) -> None:
        """An epoch ended well."""
        self.size = min(self.full, self.size + int(self.full * GROWTH))

    def fit(self, max_pending: int) -> None:
        """Ask for no more than a part of what a server allows: its `max_pending`, in bytes."""
        if max_pending > 0:
            self.full = min(self.wanted, max(SMALLEST, int(max_pending * SHARE)))
            self.size = min(self.size, self.full)

    @asynccontextmanager
    async def take(self, weight: int) -> AsyncIterator[None]:
        """Hold `weight` bytes of the window; what is larger than the window takes all of it."""
        weight = min(weight, self.size)
        if self._waiting or self.taken + weight > self.size:
            await self._turn(weight)
        else:
            self._hold(weight)
        try:
            yield
        finally:
            self.taken -= weight
            self._admit()

    async def _turn(self, weight: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # Its turn had come just before.
                self.taken -= weight
            self._admit()
            raise

    def _hold(self, weight: int) -> None:
        self.taken += weight
        self.peak = max(self.peak, self.taken)

    def _admit(self) -> None:
        while self._waiting:
            weight, turn = self._waiting[0]
            if not turn.cancelled():
                # What was asked for before the window shrank goes alone, rather than never.
                if self.taken and self.taken + weight > self.size:
                    return
                self._hold(weight)
                turn.set_result(None)
            self._waiting.popleft()
