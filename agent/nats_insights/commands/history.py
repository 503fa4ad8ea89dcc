"""List what opened, changed or resolved in a time, as far as a running agent still knows it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import filters, show
from nats_insights.commands.ask import all_pages
from nats_insights.commands.options import format_option, whole
from nats_insights.connection import contexts
from nats_insights.tell.messages import HistoryReply

# Rows of text, unless --limit says otherwise.
_ROWS = 100


def options(parser: ArgumentParser) -> None:
    """Flags of `history`."""
    add = parser.add_argument
    format_option(parser)
    add("--since", metavar="TIME", help="only since this time, or since so long ago, such as 2h")
    add("--until", metavar="TIME", help="only until this time, or until so long ago, such as 1h")
    add(
        "--limit",
        type=whole,
        metavar="N",
        help=f"at most N rows, the last ones; 0 is all (default: {_ROWS} as text, all as json)",
    )
    filters.options(parser)
    add("--finding", metavar="FINGERPRINT", help="only this finding")
    contexts.add_options(parser)
    parser.epilog = (
        "A time is written as 2026-11-22T14:00:00Z. Example: nats-insights history --since 2h "
        "--server-name n1"
    )


async def run(args: Namespace) -> int:
    """Ask HISTORY, page after page, and print it; as text the last transition is below."""
    most = args.limit
    if most is None:
        most = _ROWS if args.format == "text" else 0
    wanted = filters.given(args, since="since", until="until", fingerprint="finding")
    with show.progress("asking the agent"):
        reply = await all_pages(
            contexts.from_args(args), "HISTORY", HistoryReply, "transitions", most=most, **wanted
        )
    if args.format == "json":
        show.json(reply)
    else:
        show.history(reply)
    return 0
