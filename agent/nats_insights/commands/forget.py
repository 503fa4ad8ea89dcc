"""Remove a server that will not come back from the list of a running agent."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import show
from nats_insights.commands.ask import ask
from nats_insights.commands.options import format_option
from nats_insights.connection import contexts
from nats_insights.tell.messages import ServersReply
from nats_insights.text import plain

# The agent answers after its next epoch, which takes longer while a server hangs.
_SECONDS = 60.0


def options(parser: ArgumentParser) -> None:
    """Flags of `forget`."""
    parser.add_argument("name", metavar="SERVER", help="name of the server")
    parser.add_argument(
        "--in-cluster",
        metavar="NAME",
        help="cluster of the server, if several have this name; '' for none",
    )
    format_option(parser)
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Request FORGET and print the last state of the server."""
    body = {"server": args.name, "cluster": args.in_cluster}
    with show.progress("asking the agent"):
        reply = await ask(
            contexts.from_args(args), "FORGET", ServersReply, timeout=_SECONDS, **body
        )
    if args.format == "json":
        show.json(reply)
        return 0
    for server in reply.servers:
        seen = f"{server.last_seen.astimezone():%Y-%m-%d %H:%M:%S}"
        show.console().print(f"{plain(server.name)} is forgotten; it answered last at {seen}")
    return 0
