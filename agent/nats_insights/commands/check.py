"""Audit a system once, print what is found, and exit with 0, 1, 2 or 3 as monitoring plugins do."""

from __future__ import annotations

import asyncio
import logging
import time
from argparse import ArgumentParser, Namespace
from contextlib import aclosing

from msgspec.structs import replace

from nats_insights import __version__
from nats_insights.agent.epoch import cost, epoch
from nats_insights.commands import show
from nats_insights.commands.catalogue import checks_option, known_checks, load_config
from nats_insights.commands.options import config_options, format_option
from nats_insights.connection import contexts
from nats_insights.connection.connect import clients
from nats_insights.errors import ConnectError
from nats_insights.gather.access import recognise
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.tell import queries
from nats_insights.tell.messages import AgentInfo, FindingsReply
from nats_insights.tell.view import View


def options(parser: ArgumentParser) -> None:
    """Flags of `check`."""
    format_option(parser)
    config_options(parser)
    checks_option(parser)
    parser.add_argument(
        "--epochs",
        type=int,
        default=1,
        metavar="N",
        help="epochs, one interval apart (1)",
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Run the epochs and print; the exit code is the verdict."""
    # What gathering logs is also listed as not evaluated.
    logging.getLogger("nats_insights").setLevel(logging.ERROR)
    with show.progress("asking the servers"):
        view = await _epochs(args)
    status = queries.status(view)
    reply = FindingsReply(
        timestamp=status.timestamp,
        agent=status.agent,
        coverage=status.coverage,
        findings=queries.open_findings(view),
        total=sum(life.is_open for life in view.lives),
        offset=0,
        more=False,
        status=status,
    )
    if args.format == "json":
        show.json(reply)
    else:
        show.check(reply)
    return show.EXIT[status.verdict]


async def _epochs(args: Namespace) -> View:
    known = known_checks(args)
    auditor = Auditor(known, load_config(args, known), "check")
    # One look has no past: what is found is open, and nothing waits for a cluster to settle.
    auditor.rules = [
        replace(rule, open_after=1, open_after_torn=1, resolve_after=1) for rule in auditor.rules
    ]
    connections = clients(contexts.from_args(args), name="nats-insights-check")
    async with aclosing(connections):
        client = await anext(connections)
        access = await recognise(client)
        auditor.system_accounts |= {access.account}
        gatherer = Gatherer(
            client, auditor.config.gather.timeout, Window(auditor.config.gather.window)
        )
        for number in range(max(1, args.epochs)):
            if number:
                await asyncio.sleep(auditor.config.interval)
            await epoch(auditor, gatherer, time.time(), settle=0)
        if not auditor.snapshot.servers:
            raise ConnectError("no server answered: is this a NATS server with a system account?")
        agent = AgentInfo(
            id="check", instance="", version=__version__, epoch=auditor.number, role="leader"
        )
        return View.of(auditor, agent, access, cost(auditor, gatherer), client.max_payload)
