"""Measures what all checks cost beside the five founding ones, over epochs half a minute apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from tests.bench.cluster import cluster
from tests.bench.processes import run
from tests.bench.rounds import Costs

from nats_insights.lab.demo.simulation import OPTIONS, SERVERS, simulated
from nats_insights.model.fold import SURVEY

# So many epochs are ten minutes: whatever is asked less often than in each epoch is asked again.
_EPOCHS, _APART = 21, 30
_PLAN = ("epoch", *(_EPOCHS * ("churn", "epoch")))
_ROUNDS = 3
# Hollow checks ask for what all checks need, find nothing, and do not look at anything.
SETS = {
    "founding five": ("--checks", "founding"),
    "all, hollow": ("--checks", "all", "--hollow"),
    "all": ("--checks", "all"),
}


async def catalogue(servers: int, connections: int, troubles: list[str]) -> dict[str, Costs]:
    """By the set of checks: the CPU of the first epoch and of the later ones, and their memory.

    CPU is that of the cheapest round, memory the most of all.
    """
    with cluster(*SERVERS, options=OPTIONS, troubles=troubles) as system:
        _, other = system
        async with simulated(system, servers, connections):
            measured = await asyncio.to_thread(_rounds, other)
    return {checks: _cheapest(runs) for checks, runs in measured.items()}


def _rounds(server: Any) -> dict[str, list[list[dict[str, Any]]]]:
    measured: dict[str, list[list[dict[str, Any]]]] = {checks: [] for checks in SETS}
    for _ in range(_ROUNDS):
        for checks, runs in measured.items():
            runs.append(run("epochs", server, "--apart", f"{_APART}", *SETS[checks], *_PLAN))
    return measured


def _cheapest(runs: list[list[dict[str, Any]]]) -> Costs:
    peaks = [epoch["peak_rss_mib"] for epochs in runs for epoch in epochs]
    return {
        "first": {"cpu_seconds": min(first["cpu_seconds"] for first, *_ in runs)},
        "later": {
            "cpu_seconds": min(_usual(later) for _, *later in runs),
            "peak_rss_mib": max(peaks),
        },
    }


def _usual(epochs: Iterable[dict[str, Any]]) -> float:
    """The CPU seconds of one epoch on average. The survey of some hours falls into ten minutes."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for epoch in epochs:
        seconds[epoch["servers_swept"] == epoch["answered"]].append(epoch["cpu_seconds"])
    usual = fmean(seconds[False])
    return usual + sum(survey - usual for survey in seconds[True]) * _APART / SURVEY.every
