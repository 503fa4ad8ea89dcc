"""Measures what clients of a crowded server feel of a sweep, and whether the sweep is right."""

from __future__ import annotations

import asyncio
import json
import os
import time
from asyncio.subprocess import PIPE
from statistics import median, quantiles
from typing import Any

from tests.bench.cluster import cluster
from tests.bench.processes import command, run
from tests.bench.rounds import Cost

from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd

_IDLE_SECONDS = 10
_EPOCHS = 30
# Of the process that times the echo: two connections, a subscription each.
_ECHO = 2


async def disturbance(connections: int, troubles: list[str]) -> dict[str, tuple[float, float]]:
    """The median and the 99th percentile of the seconds to an echo, idle and during sweeps.

    All connections are on the server through which the echo goes, one of three. What the agent
    finds wrongly there is added to `troubles`.
    """
    with cluster("n1", "n2", "n3", troubles=troubles) as system:
        user, password = system.user("app")
        async with Crowd() as crowd:
            await crowd.join(
                system["n1"].url, connections, user=user, password=password, subscriptions=1
            )
            process = await _echo(system["n1"])
            await asyncio.sleep(_IDLE_SECONDS)
            began = time.monotonic()
            plan = ["epoch"] * _EPOCHS
            epochs = await asyncio.to_thread(run, "epochs", system["n3"], "--sweep", "all", *plan)
            said, _ = await process.communicate(b"")  # Tells it to end.
    echoes = json.loads(said)
    troubles += _untrue(epochs[-1], connections)
    return {
        "idle": _spread([seconds for sent, seconds in echoes if sent + seconds < began]),
        "sweep": _spread(
            [
                seconds
                for sent, seconds in echoes
                if any(sent < one["ended"] and sent + seconds > one["began"] for one in epochs)
            ]
        ),
    }


async def _echo(server: local.Server) -> asyncio.subprocess.Process:
    user, password = server.user("worker")
    return await asyncio.create_subprocess_exec(
        *command("echo", server.url, user),
        env={**os.environ, "NATS_PASSWORD": password},
        stdin=PIPE,
        stdout=PIPE,
    )


def _spread(seconds: list[float]) -> tuple[float, float]:
    return median(seconds), quantiles(seconds, n=100)[-1]


def _untrue(epoch: Cost, connections: int) -> list[str]:
    """Each finding whose figure is not what there really is."""
    both = connections + _ECHO
    there = {
        "OPT_BALANCE_002": ("connections", both),
        "OPT_BALANCE_003": ("subscriptions", both),
        "OPT_BALANCE_006": ("by_server", {"top": [["n1", both]], "left_out": 0}),
        "USER_002": ("by_server", {"top": [["n1", connections]], "left_out": 0}),
    }
    evidence: dict[str, Any] = {code: evidence for code, _, evidence in epoch["open"]}
    found = {code: evidence.get(code, {}).get(figure) for code, (figure, _) in there.items()}
    return [
        f"{code}: {found[code]} {figure}, where there are {truth}"
        for code, (figure, truth) in there.items()
        if found[code] != truth
    ]
