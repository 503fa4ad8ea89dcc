"""List the checks with their parameters, as a running agent has them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import own, show
from nats_insights.commands.options import format_option
from nats_insights.tell.messages import ChecksReply


def options(parser: ArgumentParser) -> None:
    """Flags of `checks`."""
    format_option(parser)
    own.options(parser)


async def run(args: Namespace) -> int:
    """Ask CHECKS and print them."""
    with show.progress("asking the agent"):
        reply = await own.ask_or_own(args, "CHECKS", ChecksReply, limit=1000)
    if args.format == "json":
        show.json(reply)
    else:
        show.checks(reply)
    return 0
