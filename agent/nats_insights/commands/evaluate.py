"""Make a running agent evaluate the system now, and show its status."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import show
from nats_insights.commands.ask import ask
from nats_insights.commands.options import EXIT_CODES, format_option
from nats_insights.connection import contexts
from nats_insights.tell.messages import StatusReply

# An epoch is answered within this time, in seconds, also where servers hang.
_SECONDS = 60.0


def options(parser: ArgumentParser) -> None:
    """Flags of `evaluate`."""
    format_option(parser)
    contexts.add_options(parser)
    parser.epilog = EXIT_CODES


async def run(args: Namespace) -> int:
    """Ask EVALUATE and print the status after it; the exit code is the verdict."""
    with show.progress("the agent queries the servers"):
        reply = await ask(contexts.from_args(args), "EVALUATE", StatusReply, timeout=_SECONDS)
    if args.format == "json":
        show.json(reply)
    else:
        show.status(reply)
    return show.EXIT[reply.verdict]
