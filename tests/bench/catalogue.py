"""Measures what all checks cost beside the five founding ones, over epochs half a minute apart."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.bench.cluster import cluster
from tests.bench.processes import run
from tests.bench.rounds import Costs

from nats_insights.lab.demo.simulation import OPTIONS, SERVERS, simulated

# So many epochs are ten minutes: whatever is asked less often than in each epoch is asked again.
_EPOCHS = 20
_PLAN = ("epoch", *(_EPOCHS * ("churn", "epoch")))
_ROUNDS = 3
SETS = ("founding", "all")


async def catalogue(servers: int, connections: int, troubles: list[str]) -> dict[str, Costs]:
    """By the set of checks: the CPU of the first epoch and of the later ones, at the least."""
    with cluster(*SERVERS, options=OPTIONS, troubles=troubles) as system:
        _, other = system
        async with simulated(system, servers, connections):
            measured = await asyncio.to_thread(_rounds, other)
    return {checks: _cheapest(runs) for checks, runs in measured.items()}


def _rounds(server: Any) -> dict[str, list[list[dict[str, Any]]]]:
    measured: dict[str, list[list[dict[str, Any]]]] = {checks: [] for checks in SETS}
    for _ in range(_ROUNDS):
        for checks, runs in measured.items():
            runs.append(run("epochs", server, "--apart", "30", "--checks", checks, *_PLAN))
    return measured


def _cheapest(runs: list[list[dict[str, Any]]]) -> Costs:
    seconds = [[epoch["cpu_seconds"] for epoch in epochs] for epochs in runs]
    return {
        "first": {"cpu_seconds": min(first for first, *_ in seconds)},
        "later": {"cpu_seconds": min(sum(later) / len(later) for _, *later in seconds)},
    }
