"""End a mute before its time, and list what is still muted."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands import muted, show
from nats_insights.commands.ask import ask
from nats_insights.commands.options import format_option
from nats_insights.connection import contexts
from nats_insights.tell.messages import MutesReply


def options(parser: ArgumentParser) -> None:
    """Flags of `unmute`."""
    format_option(parser)
    muted.options(parser)
    contexts.add_options(parser)
    parser.epilog = (
        "Name what the mute names, exactly; `nats-insights mute` lists that. Example: "
        "nats-insights unmute --code USER_002 --account BILLING"
    )


async def run(args: Namespace) -> int:
    """Request UNMUTE and print what is still muted."""
    body = muted.named(args, "unmute") | {"who": muted.who(args)}
    with show.progress("asking the agent"):
        reply = await ask(
            contexts.from_args(args), "UNMUTE", MutesReply, timeout=muted.SECONDS, **body
        )
    muted.told(reply, args.format)
    return 0
