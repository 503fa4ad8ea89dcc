"""Print the permissions that the agent's user needs, for the configuration of a server."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nats_insights.commands.catalogue import checks_option, known_checks, load_config
from nats_insights.commands.options import config_options
from nats_insights.judge.plan import plan
from nats_insights.judge.rules import rules
from nats_insights.replies.endpoint import endpoints
from nats_insights.tell.permissions import permissions


def options(parser: ArgumentParser) -> None:
    """Flags of `permissions`."""
    config_options(parser)
    checks_option(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="for every endpoint, so that a check that is enabled later needs no change",
    )


async def run(args: Namespace) -> int:
    """Print what the enabled checks need, or everything."""
    known = known_checks(args)
    enabled = plan(rules(known, load_config(args, known))).endpoints
    wanted = (*endpoints().values(), *enabled) if args.full else enabled
    print(permissions(wanted), end="")
    return 0
