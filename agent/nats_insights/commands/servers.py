"""List the servers that a running agent knows, those that do not answer first."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import show
from nats_insights.commands.ask import all_pages
from nats_insights.commands.options import format_option
from nats_insights.connection import contexts
from nats_insights.tell.messages import ServersReply


def options(parser: ArgumentParser) -> None:
    """Flags of `servers`."""
    format_option(parser)
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Ask SERVERS and print them."""
    with show.progress("asking the agent"):
        reply = await all_pages(contexts.from_args(args), "SERVERS", ServersReply, "servers")
    if args.format == "json":
        show.json(reply)
    else:
        show.servers(reply)
    return 0
