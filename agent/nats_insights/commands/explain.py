"""Explain one check: what it finds, why that matters, and what to do."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import own, show
from nats_insights.commands.options import format_option
from nats_insights.tell.messages import ExplainReply


def options(parser: ArgumentParser) -> None:
    """Flags of `explain`."""
    parser.add_argument("code", metavar="CODE", help="code or name, such as OPT_BALANCE_002")
    format_option(parser)
    own.options(parser)


async def run(args: Namespace) -> int:
    """Ask EXPLAIN and print it."""
    with show.progress("asking the agent"):
        reply = await own.ask_or_own(args, "EXPLAIN", ExplainReply, code=args.code)
    if args.format == "json":
        show.json(reply)
    else:
        show.explain(reply)
    return 0
