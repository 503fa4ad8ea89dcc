"""The pace: when the next epoch is due, so that none is late and none exceeds the budget."""

from __future__ import annotations

from nats_insights.config import Gather
from nats_insights.facts import Cost

# Heartbeats that may be lost or late before an agent counts as gone.
PATIENCE = 3
# However short the interval: a busy machine may be late by so many seconds for each of them.
SHORTEST = 1.0
# Requests that an epoch waits for in vain, one after another, where a server hangs after it has
# answered the roll call: small replies, their retries in two rounds, a page of connections twice.
TIMEOUTS = 5


class Pace:
    """The pace of epochs. All figures are of the last one, in seconds.

    `interval` is the configured one, stretched where an epoch of that cost would exceed the budget.
    `skipped` epochs were due before the last one had ended; `late` counts such epochs in a row.
    """

    def __init__(self, interval: float, budget: Gather) -> None:
        self.wanted = self.interval = interval
        self.budget = budget
        self.took = 0.0
        self.skipped = self.late = 0

    @property
    def stretched(self) -> bool:
        """Whether the budget makes epochs rarer than they should be."""
        return self.interval > self.wanted

    @property
    def silent_after(self) -> float:
        """Seconds without a heartbeat after which the agent counts as gone.

        An epoch in which servers hang ends later by some request timeouts, and that is no end.
        """
        return PATIENCE * max(self.interval, SHORTEST) + TIMEOUTS * self.budget.timeout

    def ended(self, took: float, cost: Cost) -> float:
        """An epoch ended: the time from its start to that of the next one."""
        self.took = took
        stretched = max(
            self.wanted * cost.bytes / self.budget.max_bytes_per_epoch,
            cost.cpu_seconds / self.budget.max_cpu,
        )
        self.interval = max(self.wanted, round(stretched, 3))
        self.skipped = int(took / self.interval)
        self.late = self.late + 1 if self.skipped else 0
        return self.interval * (self.skipped + 1)
