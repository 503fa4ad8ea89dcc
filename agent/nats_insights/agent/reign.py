"""The reign: whether this agent may publish, by its own clock alone.

Other agents take over once they have not heard a leader for as long as its last heartbeat said. A
leader that was frozen, or without a connection, may not know that yet: it counts from when it sent
that heartbeat, so its reign ends before another one can begin.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def boot_clock() -> float:
    """Seconds that also pass while the machine sleeps, where that can be told."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Reign:
    """`since` is the Unix second since which this agent has led without a break, None if not."""

    def __init__(self, clock: Callable[[], float] = boot_clock) -> None:
        self.since: float | None = None
        self.clock = clock
        self._until = float("-inf")

    @property
    def holds(self) -> bool:
        """Whether nobody else may lead."""
        return self.since is not None and self.clock() < self._until

    def begin(self, now: float) -> None:
        """It leads from `now` on, in Unix seconds."""
        self.since = now

    def said(self, silent_after: float, at: float) -> None:
        """A heartbeat that was sent `at` has arrived: others take over so many seconds later."""
        self._until = at + silent_after

    def lapse(self) -> None:
        """Somebody else may lead, whatever the clock says."""
        self._until = float("-inf")

    def end(self) -> None:
        """It leads no more."""
        self.since = None
