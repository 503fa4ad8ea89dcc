"""Print the permissions that the agent's user needs, for a server, `nats auth`, `nsc` or a JWT."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from nats_insights.commands.catalogue import checks_option, known_checks, load_config
from nats_insights.commands.options import config_options
from nats_insights.connection import contexts
from nats_insights.judge.plan import plan
from nats_insights.judge.rules import rules
from nats_insights.replies.endpoint import endpoints
from nats_insights.subjects import SYS_REQ
from nats_insights.tell.permissions import FORMATS, NATS_AUTH_LACKS


def options(parser: ArgumentParser) -> None:
    """Flags of `permissions`."""
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="server",
        help="a block for the configuration of a server, flags of `nats auth user add`, "
        "flags of `nsc edit user`, or claims of a user JWT (default: server)",
    )
    parser.add_argument(
        "--sys-req-prefix",
        metavar="PREFIX",
        default=SYS_REQ,
        help="for a user of an account that imports the requests to servers with this prefix "
        f"(default: {SYS_REQ}, for a user of the system account)",
    )
    config_options(parser)
    checks_option(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="for every endpoint, so that a check that is enabled later needs no change",
    )


async def run(args: Namespace) -> int:
    """Print what the enabled checks need, or everything."""
    prefix = contexts.subject("sys_req_prefix", args.sys_req_prefix)
    known = known_checks(args)
    enabled = plan(rules(known, load_config(args, known))).endpoints
    wanted = (*endpoints().values(), *enabled) if args.full else enabled
    print(FORMATS[args.format](wanted, prefix), end="")
    if args.format == "nats-auth":
        print(NATS_AUTH_LACKS, file=sys.stderr)
    return 0
