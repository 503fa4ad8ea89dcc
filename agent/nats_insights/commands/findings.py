"""List the findings of a running agent, most severe first."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import get_args

from nats_insights.commands import filters, show
from nats_insights.commands.ask import all_pages
from nats_insights.commands.options import format_option, whole
from nats_insights.connection import contexts
from nats_insights.tell.messages import FindingsReply, GroupedBy

# Rows of text, unless --limit says otherwise.
_ROWS = 100


def options(parser: ArgumentParser) -> None:
    """Flags of `findings`."""
    add = parser.add_argument
    format_option(parser)
    add(
        "--by",
        choices=get_args(GroupedBy),
        help="show how many there are for each of these, and not each finding",
    )
    add(
        "--limit",
        type=whole,
        metavar="N",
        help=f"at most N rows, the worst first; 0 is all (default: {_ROWS} as text, all as json)",
    )
    filters.options(parser)
    add(
        "--state",
        choices=("open", "resolved", "all"),
        default="open",
        help="findings that are open, that resolved lately, or both (default: open)",
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Ask FINDINGS, page after page, and print them."""
    wanted = filters.given(args, state="state", by="by")
    most = args.limit
    if most is None:
        most = _ROWS if args.format == "text" else 0
    with show.progress("asking the agent"):
        reply = await all_pages(
            contexts.from_args(args),
            "FINDINGS",
            FindingsReply,
            "groups" if args.by else "findings",
            most=most,
            **wanted,
        )
    if args.format == "json":
        show.json(reply)
    elif args.by:
        show.groups(reply, args.state, args.by)
    else:
        show.findings(reply, args.state)
    return 0
