"""Mute a check, a finding, or what is about some entity, until a time; or list what is muted."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import muted, show
from nats_insights.commands.ask import all_pages, ask
from nats_insights.commands.options import format_option
from nats_insights.connection import contexts
from nats_insights.errors import ConfigError
from nats_insights.tell.messages import MutesReply


def options(parser: ArgumentParser) -> None:
    """Flags of `mute`."""
    format_option(parser)
    muted.options(parser)
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--for", dest="span", metavar="DURATION", help="how long, such as 2h; at most 30d"
    )
    when.add_argument("--until", metavar="TIME", help="until when, such as 2026-11-22T18:00:00Z")
    parser.add_argument("--why", metavar="TEXT", help="why, for the others")
    contexts.add_options(parser)
    parser.epilog = (
        "What fits all that is named is muted; without any flag, what is muted is listed. Example: "
        "nats-insights mute --code USER_002 --account BILLING --for 2h --why 'load test'"
    )


async def run(args: Namespace) -> int:
    """Request MUTE, or else MUTES, and print what is muted."""
    until = args.span or args.until
    if not (muted.given(args) or until or args.why):
        with show.progress("asking the agent"):
            reply = await all_pages(contexts.from_args(args), "MUTES", MutesReply, "mutes")
        muted.told(reply, args.format)
        return 0
    body = muted.named(args, "mute")
    if not until:
        raise ConfigError("say until when: --for 2h, or --until 2026-11-22T18:00:00Z")
    body |= {"until": until, "who": muted.who(args), "why": args.why or ""}
    with show.progress("asking the agent"):
        reply = await ask(
            contexts.from_args(args), "MUTE", MutesReply, timeout=muted.SECONDS, **body
        )
    muted.told(reply, args.format)
    return 0
