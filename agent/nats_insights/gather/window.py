"""The window: how many bytes of replies may be outstanding at a time.

A server disconnects a client with more than `max_pending` bytes to send, 64 MiB unless configured,
though the client reads as fast as it can. So large replies are requested within a window.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SMALLEST = 64 * 1024
# The share of `max_pending` that is requested: other messages need room too.
SHARE = 3 / 8
# The share of its full size by which a window grows in an epoch without a disconnect.
GROWTH = 1 / 16


class Window:
    """A weighted semaphore: what is taken never exceeds `size` bytes, first come, first served.

    After a disconnect as a slow consumer it is halved; each epoch it grows towards its full size.
    """

    def __init__(self, size: int) -> None:
        self.wanted = self.full = self.size = size
        self.taken = self.peak = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def resize(self, size: int) -> None:
        """Another full size; what was halved grows towards it."""
        self.wanted = self.full = size
        self.size = min(self.size, size)

    def halve(self) -> None:
        """A server disconnected the agent as a slow consumer: too much was requested at a time."""
        self.size = max(SMALLEST, self.size // 2)

    def grow(self) -> None:
        """An epoch ended without a disconnect."""
        self.size = min(self.full, self.size + int(self.full * GROWTH))

    def fit(self, max_pending: int) -> None:
        """Limit the window to a share of the `max_pending` of a server, in bytes."""
        if max_pending > 0:
            self.full = min(self.wanted, max(SMALLEST, int(max_pending * SHARE)))
            self.size = min(self.size, self.full)

    @asynccontextmanager
    async def take(self, weight: int) -> AsyncIterator[None]:
        """Hold `weight` bytes of the window, at most all of it."""
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
            if turn.done() and not turn.cancelled():  # Admitted just before the cancellation.
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
                # A weight larger than the window, which has shrunk since, is admitted alone.
                if self.taken and self.taken + weight > self.size:
                    return
                self._hold(weight)
                turn.set_result(None)
            self._waiting.popleft()
