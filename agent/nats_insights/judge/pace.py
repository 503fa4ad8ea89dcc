"""The pace: when the next epoch is due, so that it is not late and within the budget."""

from __future__ import annotations

from nats_insights.config import Gather
from nats_insights.facts import Cost

# Heartbeats that may be lost or late before an agent counts as gone.
PATIENCE = 3
# Seconds per heartbeat at least, however short the interval: a busy machine may be late.
SHORTEST = 1.0
# Request timeouts in sequence in an epoch in which a server hangs after it has answered VARZ:
# small replies, their retries in two rounds, a page of connections twice.
TIMEOUTS = 5


class Pace:
    """The pace of epochs. All figures are of the last one, in seconds.

    `interval` is the configured one, stretched if an epoch of that cost would exceed the budget.
    `skipped` epochs were due before the last one had ended; `late` counts such epochs in a row.
    """

    def __init__(self, interval: float, budget: Gather) -> None:
        self.follow(interval, budget)
        self.took = 0.0
        self.skipped = self.late = 0

    def follow(self, interval: float, budget: Gather) -> None:
        """Another interval, and another budget: whether it suffices is seen after an epoch."""
        self.wanted = self.interval = interval
        self.budget = budget

    @property
    def stretched(self) -> bool:
        """Whether the budget makes epochs rarer than they should be."""
        return self.interval > self.wanted

    @property
    def silent_after(self) -> float:
        """Seconds without a heartbeat after which the agent counts as gone.

        Some request timeouts are added, since an epoch in which servers hang ends later.
        """
        return PATIENCE * max(self.interval, SHORTEST) + TIMEOUTS * self.budget.timeout

    def ended(self, took: float, cost: Cost) -> float:
        """End an epoch: returns the seconds from its start to the start of the next one."""
        self.took = took
        stretched = max(
            self.wanted * cost.bytes / self.budget.max_bytes_per_epoch,
            cost.cpu_seconds / self.budget.max_cpu,
        )
        self.interval = max(self.wanted, round(stretched, 3))
        self.skipped = int(took / self.interval)
        self.late = self.late + 1 if self.skipped else 0
        return self.interval * (self.skipped + 1)
