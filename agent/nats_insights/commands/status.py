"""Show the verdict of a running agent, what is open, and what it costs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import show
from nats_insights.commands.ask import ask
from nats_insights.commands.options import EXIT_CODES, format_option
from nats_insights.connection import contexts
from nats_insights.tell.messages import StatusReply


def options(parser: ArgumentParser) -> None:
    """Flags of `status`."""
    format_option(parser)
    contexts.add_options(parser)
    parser.epilog = EXIT_CODES


async def run(args: Namespace) -> int:
    """Ask STATUS and print it; the exit code is the verdict, as that of `check`."""
    with show.progress("asking the agent"):
        reply = await ask(contexts.from_args(args), "STATUS", StatusReply)
    if args.format == "json":
        show.json(reply)
    else:
        show.status(reply)
    return show.EXIT[reply.verdict]
