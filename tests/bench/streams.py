"""Measures how an agent reads the streams of a simulated fleet, the first time and all at once."""

from __future__ import annotations

import asyncio

from tests.bench.cluster import cluster
from tests.bench.fleets import SMALL_PENDING
from tests.bench.processes import run
from tests.bench.rounds import Cost

from nats_insights.lab.demo.simulation import SERVERS, simulated

# Of a real server that has them, each client has a connection: here nobody looks at those.
_CONNECTIONS = 5


async def streams(servers: int, replicas: int, troubles: list[str]) -> tuple[Cost, float]:
    """The first epoch of an agent, and in seconds the longest pause of its event loop.

    Measured twice: to look for pauses takes time. What came in part is added to `troubles`.
    """
    with cluster(*SERVERS, options=SMALL_PENDING, troubles=troubles) as system:
        other = system[SERVERS[-1]]
        async with simulated(system, servers, _CONNECTIONS, replicas):
            # The simulator makes each reply when first asked for it.
            await asyncio.to_thread(run, "epochs", other, "epoch")
            (whole,) = await asyncio.to_thread(run, "epochs", other, "epoch")
            (watched,) = await asyncio.to_thread(run, "epochs", other, "--pauses", "epoch")
    for epoch in (whole, watched):
        troubles += [f"{late} servers owe {key}" for key, late in epoch["owing"].items()]
    return whole, watched["longest_pause"]
