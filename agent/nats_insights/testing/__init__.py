"""Everything that the test of a check imports, in this package or in another one.

    from nats_insights.testing import Server, cluster, contract, found, system

`contract`, which needs pytest, has the tests that every check must pass.
"""

from __future__ import annotations

from nats_insights.testing.jetstream import consumer, jetstream, stream
from nats_insights.testing.story import Story, finding, found
from nats_insights.testing.systems import (
    DAY,
    START,
    Epochs,
    Server,
    System,
    closed,
    cluster,
    dead,
    hung,
    leaf,
    left,
    lone,
    routes_to,
    row,
    system,
    then,
)

__all__ = [
    "DAY",
    "START",
    "Epochs",
    "Server",
    "Story",
    "System",
    "closed",
    "cluster",
    "consumer",
    "dead",
    "finding",
    "found",
    "hung",
    "jetstream",
    "leaf",
    "left",
    "lone",
    "routes_to",
    "row",
    "stream",
    "system",
    "then",
]
