"""List the findings of a running agent, most severe first."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import show
from nats_insights.commands.ask import all_pages
from nats_insights.commands.options import format_option
from nats_insights.connection import contexts
from nats_insights.tell.messages import FindingsReply

_FILTERS = ("code", "severity", "scope", "account", "cluster", "server", "state")


def options(parser: ArgumentParser) -> None:
    """Flags of `findings`."""
    format_option(parser)
    parser.add_argument("--code", metavar="CODE", help="only this check, by code or name")
    parser.add_argument(
        "--severity", choices=("critical", "warning", "info"), help="only this severity"
    )
    parser.add_argument(
        "--scope", choices=("SYSTEM", "CLUSTER", "SERVER", "ACCOUNT"), help="only this scope"
    )
    parser.add_argument("--account", metavar="NAME", help="only this account, by name or key")
    parser.add_argument("--cluster", metavar="NAME", help="only this cluster")
    parser.add_argument("--server-name", dest="of_server", metavar="NAME", help="only this server")
    parser.add_argument("--state", choices=("open", "resolved", "all"), help="open by default")
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Ask FINDINGS, page after page, and print them."""
    given = {**vars(args), "server": args.of_server}
    filters = {name: given[name] for name in _FILTERS if given[name]}
    with show.progress("asking the agent"):
        reply = await all_pages(
            contexts.from_args(args), "FINDINGS", FindingsReply, "findings", **filters
        )
    if args.format == "json":
        show.json(reply)
    else:
        show.findings(reply)
    return 0
