"""All that the test of a check imports, the contract of every check included."""

from __future__ import annotations

from nats_insights.testing.story import Story, finding, found
from nats_insights.testing.systems import (
    DAY,
    START,
    Server,
    System,
    cluster,
    dead,
    hung,
    left,
    lone,
    row,
    system,
)

__all__ = [
    "DAY",
    "START",
    "Server",
    "Story",
    "System",
    "cluster",
    "dead",
    "finding",
    "found",
    "hung",
    "left",
    "lone",
    "row",
    "system",
]
