"""Measures an agent that has nothing to find."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any

from tests.bench.cluster import cluster
from tests.bench.processes import run

_EPOCHS = 20


async def idle(troubles: list[str]) -> dict[str, Any]:
    """The CPU of the usual epoch on three idle servers, and the memory of the last."""
    with cluster("n1", "n2", "n3", troubles=troubles) as system:
        epochs = await asyncio.to_thread(run, "epochs", system["n1"], *["epoch"] * _EPOCHS)
    cpu = median(one["cpu_seconds"] for one in epochs[1:])
    return {"cpu_seconds": cpu, "peak_rss_mib": epochs[-1]["peak_rss_mib"]}
