"""The last transitions: what opened, changed or resolved, kept to be asked for later."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from nats_insights.judge.lifecycle import Told

# Transitions that are kept.
KEPT = 1000


class Transitions:
    """The last transitions, the oldest first, without reminders, which are no news.

    After `since`, in Unix seconds, none is missing; it is None before the first epoch.
    """

    def __init__(self, kept: Iterable[Told] = (), since: float | None = None) -> None:
        self._kept = deque(kept, KEPT)
        self.since = since

    def __iter__(self) -> Iterator[Told]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, told: Iterable[Told], now: float) -> None:
        """The transitions of the epoch at `now`; the oldest make room for them."""
        self.since = now if self.since is None else self.since
        for item in told:
            if item.transition == "reminded":
                continue
            if len(self._kept) == KEPT:
                self.since = self._kept[0].at
            self._kept.append(item)

    def copy(self) -> Transitions:
        """The same, to go back to."""
        return Transitions(self._kept, self.since)
