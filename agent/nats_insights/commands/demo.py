"""Start a real cluster on this machine, make it ill, and watch it being diagnosed."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.text import Text

from nats_insights import config
from nats_insights.commands import show
from nats_insights.demo import local, stage, story
from nats_insights.demo.crowd import Crowd
from nats_insights.errors import InsightsError


def options(parser: ArgumentParser) -> None:
    """Flags of `demo`."""
    parser.add_argument("--for", dest="seconds", metavar="20s", help="stop after this time")


async def run(args: Namespace) -> int:
    """Tell the story, then keep the cluster until interrupted; 3 if there was no time for it."""
    seconds = config.seconds(args.seconds, "--for") if args.seconds else None
    told = asyncio.Event()
    try:
        async with asyncio.timeout(seconds):
            await _demo(told)
    except TimeoutError:
        if not told.is_set():
            raise InsightsError("the time was too short for the demo; give it more") from None
    return 0


async def _demo(told: asyncio.Event) -> None:
    out = show.console()

    def say(text: str) -> None:
        out.print(Text(f"\n{text}" if text else "", "bold"))

    with show.progress("starting three nats-servers"):
        system = local.cluster(*story.SERVERS, cluster_name="DEMO", options=story.OPTIONS)
        running = system.__enter__()
    try:
        _introduce(running, stage.context_file(running))
        async with Crowd() as crowd, stage.watched(running, _shower()) as watched:
            await stage.tell(watched, crowd, running, say)
            told.set()
            say("All cured. The cluster and the agent stay until you press Ctrl-C.")
            await asyncio.Event().wait()
    finally:
        system.__exit__(None, None, None)


def _introduce(system: local.System, context: Path) -> None:
    out = show.console()
    out.print("Cluster DEMO, three real nats-servers on this machine:")
    for line in show.aligned(((s.name, s.url, story.OPTIONS.get(s.name, "")) for s in system), 2):
        out.print(line)
    out.print("The agent is a user of the system account, on n3. What you see is what an")
    out.print("ordinary account receives on n2. Look for yourself, from another terminal:")
    out.print(f"  nats-insights watch --context {context}")
    out.print(f"  nats-insights findings --context {context}")
    out.print(f"  nats --context {context} sub '$INSIGHTS.>'")


def _shower() -> stage.Show:
    out = show.console()
    return lambda advisory: show.transition(advisory, out)
