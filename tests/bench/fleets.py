"""Measures epochs over a simulated fleet beside the floor, and holds them against the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from tests.bench.cluster import cluster
from tests.bench.held import held
from tests.bench.processes import run
from tests.bench.rounds import Cost, Costs, cheapest, rounds

from nats_insights.lab.demo.simulation import OPTIONS, SERVERS, Fault, simulated
from nats_insights.lab.servers import local

# Servers do not start with a max_payload, which binds the simulator, larger than max_pending.
SMALL_PENDING = dict.fromkeys(SERVERS, "max_pending: 8MB\nmax_payload: 8MB")

_WATCHED = 2
_PLAN = ("epoch", "turns", "epoch", "churn", "epoch")
# What its epochs are.
_ROWS = ("full sweep", "nothing moved", "ordinary epoch")


async def fleet(
    servers: int,
    connections: int,
    troubles: list[str],
    options: Mapping[str, str] = OPTIONS,
) -> Costs:
    """The floor, what a short script takes, and the epochs of an agent that starts, sees nothing
    move, and sees some churn.

    The fleet answers on one real server; the floor and the agent ask the other one.
    """
    with cluster(*SERVERS, options=options, troubles=troubles) as system:
        host, other = system
        async with simulated(system, servers, connections) as simulator:
            rows = await held(host, servers + len(SERVERS))
            floors, bare, plain, watched = await asyncio.to_thread(_rounds, other, rows)
            planted = await simulator.planted()
    for epochs in (*plain, *watched):
        troubles += _silent(epochs, len(rows))
    troubles += _untrue(watched[-1][-1], planted)
    costs = {"floor": cheapest(floors), "bare nats-py": cheapest(bare)}
    for place, row in enumerate(_ROWS):
        costs[row] = cheapest(epochs[place] for epochs in plain)
        costs[row]["longest_pause"] = min(epochs[place]["longest_pause"] for epochs in watched)
    return costs


def _rounds(
    server: local.Server, rows: Mapping[str, int]
) -> tuple[list[Cost], list[Cost], list[list[Cost]], list[list[Cost]]]:
    """All of it again and again, one after the other; the epochs unwatched and watched."""
    run("least", server, given=rows)  # The simulator makes each row when first asked for it.
    floors, bare, plain, watched = [], [], [], []
    for _ in range(rounds(sum(rows.values()))):
        floors.append(run("least", server, given=rows))
        bare.append(run("bare", server, given=rows))
        plain.append(run("epochs", server, *_PLAN))
    for _ in range(_WATCHED):
        floors.append(run("least", server, given=rows))
        watched.append(run("epochs", server, "--pauses", *_PLAN))
    return floors, bare, plain, watched


def _silent(epochs: Iterable[Cost], servers: int) -> list[str]:
    answered = [epoch["answered"] for epoch in epochs]
    return [f"{few} of {servers} servers answered" for few in answered if few != servers]


def _untrue(epoch: Cost, planted: Collection[Fault]) -> list[str]:
    """What was found and is not there, and what is there and was not found."""
    found = {(code, *sorted(names)) for code, names, _ in epoch["open"]}
    there = {(code, *sorted(names)) for code, names in planted}
    wrong = [f"found, but not there: {', '.join(names)}" for names in sorted(found - there)]
    return wrong + [f"there, but not found: {', '.join(names)}" for names in sorted(there - found)]
