"""Everything that the test of a check imports, in this package or in another one.

    from nats_insights.testing import Server, cluster, contract, found, system

`contract`, which needs pytest, has the tests that every check must pass.
"""

from __future__ import annotations

from nats_insights.testing.accounts import account, exported, imported, key
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
    "account",
    "closed",
    "cluster",
    "consumer",
    "dead",
    "exported",
    "finding",
    "found",
    "hung",
    "imported",
    "jetstream",
    "key",
    "leaf",
    "left",
    "lone",
    "routes_to",
    "row",
    "stream",
    "system",
    "then",
]
