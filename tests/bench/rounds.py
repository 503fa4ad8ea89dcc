"""Repeats measurements, and chooses among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Cost: TypeAlias = dict[str, Any]
# What was measured, by the name of its row.
Costs: TypeAlias = dict[str, Cost]


def cheapest(costs: Iterable[Cost]) -> Cost:
    """The round that took the least CPU: what it took more in others is the machine's doing."""
    return min(costs, key=lambda cost: cost["cpu_seconds"])


def rounds(connections: int) -> int:
    """How often to measure: what is over soon suffers more from what else the machine does."""
    return 3 if connections > 500_000 else 7
