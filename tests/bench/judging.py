"""Measures judging by itself, without a network: how long a check takes for one noun."""

from __future__ import annotations

import gc
import json
import subprocess
import time
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from tests.bench import judged
from tests.bench.judged import Scene
from tests.bench.pauses import pauses
from tests.bench.processes import command

from nats_insights.agent import garbage

_ROUNDS = 5
_SILENT = 0.1


def judging(checks: int, servers: int, findings: int, troubles: list[str]) -> dict[str, Any]:
    """What it takes to judge so many servers by so many checks, and so many findings.

    By row: how many `judgements`, their `cpu_seconds`, and those of the checks `alone`, without
    the program around them; the last row has its longest pause of the event loop too, in seconds.
    """
    arguments = command("judging", str(checks), str(servers), str(findings))
    ran = subprocess.run(arguments, stdout=subprocess.PIPE, check=True)
    rows: dict[str, Any] = json.loads(ran.stdout)
    for row in rows.values():
        troubles += row.pop("troubles")
    return rows


async def measure(checks: int, servers: int, findings: int) -> dict[str, Any]:
    """The same in this process; what was not judged as it should be is in each row's `troubles`."""
    unheard = int(servers * _SILENT) * checks
    return {
        "quiet": await _judged(judged.quiet(checks, servers)),
        "an override for each check": await _judged(judged.quiet(checks, servers, overridden=True)),
        "10 % of the servers silent": await _judged(
            judged.quiet(checks, servers, silent=_SILENT), unknown=unheard
        ),
        "each noun a finding": await _crowded(judged.crowded(findings)),
    }


async def _judged(scene: Scene, *, found: int = 0, unknown: int = 0) -> dict[str, Any]:
    outcomes = (await scene.judge()).outcomes.values()
    judgements = sum(outcome.judged for outcome in outcomes)
    seen = sum(one.found for one in outcomes), sum(one.unknown for one in outcomes)
    wrong = f"found and unknown are {seen}, not {(found, unknown)}"

    async def alone() -> None:
        scene.judge_alone()

    return {
        "judgements": judgements,
        "cpu_seconds": await _cheapest(scene.judge),
        "alone": await _cheapest(alone) * judgements / (len(scene.checks) * len(scene.subjects)),
        "troubles": [wrong] if seen != (found, unknown) else [],
    }


async def _crowded(scene: Scene) -> dict[str, Any]:
    row = await _judged(scene, found=len(scene.subjects))
    longest = []
    for _ in range(_ROUNDS):
        gc.collect()
        async with pauses() as seen:
            await scene.judge_and_remember()
        longest.append(seen.longest)
    return row | {"longest_pause": min(longest)}


async def _cheapest(work: Callable[[], Awaitable[Any]]) -> float:
    """The CPU seconds of the round that took the least."""
    took = []
    for _ in range(_ROUNDS):
        gc.collect()
        began = time.process_time()
        await work()
        took.append(time.process_time() - began)
    return min(took)


def main() -> None:
    """Print one line of JSON."""
    parser = ArgumentParser(description=__doc__)
    for name in ("checks", "servers", "findings"):
        parser.add_argument(name, type=int)
    args = parser.parse_args()
    garbage.keep_out_of_epochs()
    print(json.dumps(uvloop.run(measure(args.checks, args.servers, args.findings))), flush=True)


if __name__ == "__main__":
    main()
