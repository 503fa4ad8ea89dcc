"""Start a real cluster on this machine, cause problems, and show how the agent finds them."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.text import Text

from nats_insights import config
from nats_insights.agent import loop
from nats_insights.commands import lines, show, unlogged
from nats_insights.commands.typed import typed
from nats_insights.errors import InsightsError
from nats_insights.lab.demo import simulation, stage, story
from nats_insights.lab.demo.simulation import Audience, Fault, Simulator
from nats_insights.lab.fleet.size import size
from nats_insights.lab.servers import local
from nats_insights.lab.servers.context import context_file
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.messages import Advisory, Heartbeat
from nats_insights.text import plain

# The share of a fleet's servers on which a connection is replaced before each epoch.
CHURN = 0.02

_UNTIL = "run until you press Ctrl-C."
_WORDS = {
    (True, True): "found",
    (True, False): "not found",
    (False, True): "not planted",
}


def options(parser: ArgumentParser) -> None:
    """Flags of `demo`."""
    parser.add_argument(
        "--for", dest="seconds", metavar="DURATION", help="exit after this time, such as 20s"
    )
    parser.add_argument(
        "--pause", action="store_true", help="wait for Enter before each problem and each fix"
    )
    parser.add_argument(
        "--operator",
        action="store_true",
        help="a cluster in operator mode: accounts and users as JWTs, logins by creds files",
    )
    parser.add_argument(
        "--fleet",
        type=size,
        metavar="SERVERSxCONNECTIONS",
        help="use a simulated fleet instead, such as 1000x1000",
    )


async def run(args: Namespace) -> int:
    """Play the demo, then keep the cluster until interrupted; 3 if the time was too short."""
    seconds = config.seconds(args.seconds, "--for") if args.seconds else None
    if args.fleet and (args.pause or args.operator):
        raise InsightsError("leave out --fleet: --pause and --operator are for the real cluster")
    if args.pause and not sys.stdin.isatty():
        raise InsightsError("--pause waits for Enter: run it on a terminal, or leave it out")
    told = asyncio.Event()
    try:
        # How late an epoch is says how busy this machine is, which is no part of the story.
        with unlogged.lines(loop.__name__, "epoch"):
            async with asyncio.timeout(seconds):
                await (_fleet(told, *args.fleet) if args.fleet else _demo(told, args))
    except TimeoutError:
        if not told.is_set():
            raise InsightsError("the time was too short for the demo; give it more") from None
    except asyncio.CancelledError:
        if not told.is_set():  # Afterwards, Ctrl-C is how it ends.
            raise
    except BaseExceptionGroup as errors:
        # The first error is the cause; the others follow from it.
        raise errors.exceptions[0] from None
    return 0


async def _demo(told: asyncio.Event, args: Namespace) -> None:
    out = show.console()

    async def say(text: str) -> None:
        if args.pause:
            out.print(Text("\nPress Enter to go on.", "dim"))
            await _enter()
        else:
            out.print()
        lines.prose(out, text, style="bold")

    with show.progress("starting three nats-servers"):
        system = local.cluster(
            *story.SERVERS, cluster_name="DEMO", options=story.OPTIONS, operator=args.operator
        )
        running = system.__enter__()
    try:
        context = context_file(running, "ops", "n2")
        _introduce(running, context, args.operator)
        async with Crowd() as crowd, stage.watched(running, _shower()) as watched:
            await stage.tell(watched, crowd, running, say)
            told.set()
            _conclude(context)
            await asyncio.Event().wait()
    finally:
        system.__exit__(None, None, None)


async def _enter() -> None:
    """Waits until somebody presses Enter."""
    pressed = asyncio.Event()
    terminal = sys.stdin.fileno()

    def read() -> None:
        os.read(terminal, 4096)
        pressed.set()

    asyncio.get_running_loop().add_reader(terminal, read)
    try:
        await pressed.wait()
    finally:
        asyncio.get_running_loop().remove_reader(terminal)


def _introduce(system: local.System, context: Path, operator: bool) -> None:
    out = show.console()
    mode = ", in operator mode" if operator else ""
    lines.prose(out, f"Cluster DEMO, three real nats-servers on this machine{mode}:")
    for line in show.aligned(((s.name, s.url, story.OPTIONS.get(s.name, "")) for s in system), 2):
        out.print(line)
    lines.prose(
        out,
        "The agent logs in to the system account, on n3.",
        "An ordinary account receives its advisories on n2:",
        "you see them here, and in another terminal by any of these:",
    )
    _look(context)


def _look(context: Path) -> None:
    out = show.console()
    out.print(f"  {typed()} watch --context {context}")
    out.print(f"  {typed()} findings --context {context}")
    out.print(f"  nats --context {context} sub '$INSIGHTS.>'")


def _conclude(context: Path) -> None:
    out = show.console()
    out.print()
    lines.prose(
        out,
        "Four problems are fixed.",
        "Problem 1 stays, so that there is something to look at in another terminal:",
        style="bold",
    )
    for command in ("findings", "explain USER_002", "status"):
        out.print(f"  {typed()} {command} --context {context}")
    lines.prose(out, f"The cluster and the agent {_UNTIL}", style="bold")


def _shower() -> stage.Show:
    out = show.console()
    return lambda advisory: show.transition(advisory, out)


async def _fleet(told: asyncio.Event, servers: int, connections: int) -> None:
    async with AsyncExitStack() as running:
        with show.progress("starting two nats-servers"):
            system = running.enter_context(
                local.cluster(*simulation.SERVERS, cluster_name="DEMO", options=simulation.OPTIONS)
            )
        with show.progress(f"planting {servers:,} servers with {connections:,} connections each"):
            simulator = await running.enter_async_context(
                simulation.simulated(system, servers, connections)
            )
        _introduce_fleet(simulator, context_file(system, "ops", "n2"))
        with show.progress("the simulator counts what is wrong, connection by connection"):
            audience = await running.enter_async_context(simulation.watched(system, simulator))
        out = show.console()
        while not audience.complete:
            await _hear(audience, out)
        out.print(compared(audience.planted, audience.open))
        churned = f"{CHURN * 100:g} % of the servers"
        out.print()
        lines.prose(
            out,
            f"From now on {churned} lose a connection and get another between epochs.",
            f"The fleet and the agent {_UNTIL}",
        )
        out.print()
        told.set()
        while True:
            if isinstance(await _hear(audience, out), Heartbeat):
                await simulator.churn(CHURN)


def _introduce_fleet(simulator: Simulator, context: Path) -> None:
    out = show.console()
    lines.prose(
        out,
        f"A simulated fleet with faults: {simulator.size}, in process {simulator.pid}.",
        "It answers on n1, the agent asks on n2: two real nats-servers on this machine.",
        "The first epoch is slow, since the simulator writes each connection for the first time.",
        "An ordinary account receives the advisories on n2:",
        "you see them here, and in another terminal by any of these:",
    )
    _look(context)
    out.print()


async def _hear(audience: Audience, out: Console) -> Heartbeat | Advisory:
    """Show the next message as one line."""
    with show.progress(f"waiting for epoch {audience.epoch + 1}"):
        said = await audience.next()
    if isinstance(said, Heartbeat):
        # The time of an advisory is the start of its epoch; a heartbeat is sent at the end.
        began = said.timestamp.astimezone() - timedelta(seconds=said.cost.wall_seconds)
        out.print(lines.row(Text(f"{began:%H:%M:%S}", "dim"), _epoch(said), out))
    else:
        show.transition(said, out)
    return said


def _epoch(said: Heartbeat) -> str:
    """What one epoch saw, and what that cost."""
    seen, cost = said.coverage, said.cost
    return (
        f"epoch {said.agent.epoch:<3} "
        f"{seen.servers_answered:,} of {seen.servers_known:,} servers answered, "
        f"{cost.requests:,} requests, {cost.bytes / 2**20:,.1f} MiB, "
        f"{cost.cpu_seconds:.2f} s of CPU in {cost.wall_seconds:.2f} s"
    )


def compared(planted: set[Fault], found: set[Fault]) -> Text:
    """Which of the planted faults were found, and what else was found, one by one."""
    more = len(found - planted)
    rest = f"and {more} that were not planted" if more else "nothing else"
    text = Text(f"\nplanted {len(planted)}, found {len(planted & found)}, {rest}", "bold")
    rows = [
        (_WORDS[one in planted, one in found], one[0], " / ".join(map(plain, one[1])))
        for one in sorted(planted | found)
    ]
    for line in show.aligned(rows, 2):
        text.append("\n").append_text(line)
    return text
