"""Measures epochs over a server with many real connections."""

from __future__ import annotations

import asyncio

from tests.bench.cluster import cluster
from tests.bench.held import held
from tests.bench.processes import run
from tests.bench.rounds import Costs, cheapest, rounds

from nats_insights.lab.servers.crowd import Crowd


async def crowded(connections: int, troubles: list[str]) -> Costs:
    """The floor and a full sweep, with so many connections on one of three servers."""
    floors, sweeps = [], []
    with cluster("n1", "n2", "n3", troubles=troubles) as system:
        async with Crowd() as crowd:
            user, password = system.user("app")
            await crowd.join(
                system["n1"].url, connections, user=user, password=password, name="client-{i}"
            )
            rows = await held(system["n3"], 3)
            plan = ("--sweep", "all", "epoch", "epoch")
            for _ in range(rounds(connections)):
                floors.append(await asyncio.to_thread(run, "least", system["n3"], given=rows))
                sweeps.append((await asyncio.to_thread(run, "epochs", system["n3"], *plan))[1])
            watched = await asyncio.to_thread(run, "epochs", system["n3"], "--pauses", *plan)
    pause = {"longest_pause": watched[1]["longest_pause"]}
    return {"floor": cheapest(floors), "full sweep": cheapest(sweeps) | pause}
