"""Measures the `nats` CLI and `nats-insights check` over one fleet, each as a whole process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.cluster import cluster
from tests.bench.held import held
from tests.bench.processes import run
from tests.bench.rounds import Cost, Costs, cheapest

from nats_insights.errors import InsightsError
from nats_insights.lab.demo.simulation import OPTIONS, SERVERS, simulated
from nats_insights.lab.servers import local

CLI = "NATS_CLI"
_ROUNDS = 3
_CHECK = "nats-insights check"
_REPORT = "nats server report connections"
# The simulator answers from one process, so both are given time.
_CONFIG = "[gather]\ntimeout = '20s'\n"
# How it names itself in the log of a server.
_CLI_NAME = "NATS CLI"
_SEEN = re.compile(r"out of ([\d,]+)")


def program() -> str:
    """The path of the CLI; InsightsError where NATS_CLI does not name it."""
    path = os.environ.get(CLI, "")
    if not Path(path).is_file():
        raise InsightsError(f"{CLI} must be the path of the nats CLI")
    return path


async def peer(servers: int, connections: int, troubles: list[str]) -> tuple[Costs, int]:
    """What each took and how many connections it saw, and how many there are.

    `cut_off` is how often a server ended its connection in all rounds, as a slow consumer.
    """
    cli = program()
    slow: list[str] = []
    with cluster(*SERVERS, options=OPTIONS, troubles=slow) as system:
        host, other = system
        async with simulated(system, servers, connections):
            rows = await held(host, servers + len(SERVERS))
            # The simulator makes each row when first asked for it.
            await asyncio.to_thread(run, "least", other, given=rows)
            costs = await asyncio.to_thread(_rounds, cli, other)
    cut_off = [line for line in slow if _CLI_NAME in line]
    costs[_REPORT]["cut_off"] = len(cut_off)
    troubles += [line for line in slow if line not in cut_off]
    there = sum(rows.values())
    for name, cost in costs.items():
        cost["seen"] = there if cost["seen"] is None else cost["seen"]
        if name == _CHECK and cost["seen"] != there:
            troubles.append(f"{name} saw {cost['seen']} of {there}")
    return costs, there


def _rounds(cli: str, server: local.Server) -> Costs:
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "agent.toml")
        config.write_text(_CONFIG, "utf-8")
        check = [sys.executable, "-m", "nats_insights", "check", "--format", "json"]
        check += ["--config", str(config)]
        # Its own default timeout of 5 s; it is asked for the shortest table.
        report = [cli, "server", "report", "connections", "--top", "1"]
        commands = {_CHECK: check, _REPORT: report}
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(_ROUNDS):
            for name, command in commands.items():
                costs[name].append(_measured(command, server, Path(directory)))
    return {name: cheapest(several) for name, several in costs.items()}


def _measured(command: list[str], server: local.Server, home: Path) -> Cost:
    """One run of a command; `seen` is None where it says that all servers were read whole."""
    user, password = server.user("root")
    login = {"NATS_URL": server.url, "NATS_USER": user, "NATS_PASSWORD": password}
    environment = {**os.environ, **login, "HOME": str(home)}
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.read().decode()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return {
        "wall_seconds": time.monotonic() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_rss_mib": used.ru_maxrss / 1024,
        "seen": _seen(said),
        "cut_off": 0,
    }


def _seen(said: str) -> int | None:
    if found := _SEEN.search(said):
        return int(found[1].replace(",", ""))
    status = json.loads(said)["status"]
    known = status["coverage"]["servers_known"]
    # Every server answered and had its connections read, all of them: else a check would lack them.
    whole = status["coverage"]["servers_answered"] == status["cost"]["servers_swept"] == known
    return None if whole and not status["checks_not_evaluated"] else 0
