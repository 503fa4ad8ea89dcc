"""The weight of a finding, by which those of one severity are ordered."""

from __future__ import annotations

import math


def weight(value: float | None, threshold: float | None, cleared: bool) -> float:
    """How many times its limit a figure is, on either side of it; less than 1 once it clears.

    1 where there are no figures, infinite where nothing was allowed or nothing is left.
    """
    if value is None or threshold is None or value == threshold:
        return 1.0
    if value <= 0 or threshold <= 0:
        return 0.0 if cleared else math.inf
    times = value / threshold
    beyond = max(times, 1 / times)
    return 1 / beyond if cleared else beyond
