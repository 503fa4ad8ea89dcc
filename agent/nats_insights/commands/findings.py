"""List the findings of a running agent, most severe first."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import get_args

from nats_insights.commands import show
from nats_insights.commands.ask import all_pages
from nats_insights.commands.options import format_option, whole
from nats_insights.connection import contexts
from nats_insights.facts import Scope
from nats_insights.tell.messages import FindingsReply, GroupedBy, SeverityName

# Rows of text, unless --limit says otherwise.
_ROWS = 100
# Fields of the request, and the option for each: --server and --user are of the connection.
_FILTERS = {
    "code": "code",
    "severity_at_least": "severity",
    "scope": "scope",
    "cluster": "cluster",
    "server": "server_name",
    "account": "account",
    "user": "user_name",
    "state": "state",
    "by": "by",
}


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
    add(
        "--severity",
        type=str.lower,
        choices=get_args(SeverityName),
        help="only findings of this severity and worse",
    )
    add("--code", metavar="CODE", help="only findings of this check, by its code or name")
    add(
        "--scope",
        type=str.upper,
        choices=get_args(Scope),
        help="only findings of checks with this scope",
    )
    add("--cluster", metavar="NAME", help="only findings about this cluster and what is in it")
    add("--server-name", metavar="NAME", help="only findings about this server")
    add("--account", metavar="NAME", help="only findings about this account, by name or key")
    add("--user-name", metavar="NAME", help="only findings about this user, by name or key")
    add(
        "--state",
        choices=("open", "resolved", "all"),
        default="open",
        help="findings that are open, that resolved lately, or both (default: open)",
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Ask FINDINGS, page after page, and print them."""
    filters = {name: value for name, of in _FILTERS.items() if (value := getattr(args, of))}
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
            **filters,
        )
    if args.format == "json":
        show.json(reply)
    elif args.by:
        show.groups(reply, args.state, args.by)
    else:
        show.findings(reply, args.state)
    return 0
