"""Audit a system once, print what is found, and exit with 0, 1, 2 or 3 as monitoring plugins do."""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser, Namespace

import nats.errors
from msgspec.structs import replace

from nats_insights import __version__, config
from nats_insights.agent.epoch import cost, epoch
from nats_insights.commands import junit, plugin, prometheus, show, unlogged
from nats_insights.commands.catalogue import checks_option, known_checks, load_config
from nats_insights.commands.options import config_options, format_option
from nats_insights.connection import contexts
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.connection.refusals import Unreachable
from nats_insights.errors import ConfigError, ConnectError, InsightsError
from nats_insights.gather.access import recognise
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.tell import queries
from nats_insights.tell.messages import AgentInfo, FindingsReply
from nats_insights.tell.view import View, verdict

# Seconds between attempts to connect while it waits.
_PAUSE = 0.5


def options(parser: ArgumentParser) -> None:
    """Flags of `check`."""
    format_option(parser, "nagios", "prometheus", "junit")
    config_options(parser)
    checks_option(parser)
    parser.add_argument(
        "--epochs",
        type=int,
        default=1,
        metavar="N",
        help="epochs to run, one interval apart (default: 1)",
    )
    parser.add_argument(
        "--wait-healthy",
        metavar="DURATION",
        help="repeat epochs until the exit code is 0 or this time, such as 5m, is over",
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Run the epochs and print; the exit code is the verdict."""
    try:
        # What gathering logs is also listed as not evaluated.
        with unlogged.warnings(), show.progress("asking the servers"):
            view = await _audit(args)
    except InsightsError as error:
        if args.format != "nagios":
            raise
        print(plugin.failed(str(error)))  # Nagios does not read standard error.
        return show.EXIT["unknown"]
    _print(view, args.format)
    return show.EXIT[verdict(view)]


def _print(view: View, form: str) -> None:
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
    if form == "json":
        show.json(reply)
    elif form == "nagios":
        print(plugin.nagios(reply))
    elif form == "prometheus":
        print(prometheus.prometheus(reply), end="")
    elif form == "junit":
        print(junit.junit(reply, queries.all_checks(view)))
    else:
        show.check(reply, plugin.headline(status))


async def _audit(args: Namespace) -> View:
    """The view after the last epoch; ConnectError if there is none."""
    if args.epochs < 1:
        raise ConfigError("--epochs is refused: expected 1 or more")
    wait = config.seconds(args.wait_healthy, "--wait-healthy") if args.wait_healthy else 0.0
    known = known_checks(args)
    whole = replace(load_config(args, known), shard=config.Shard())  # All clusters.
    auditor = Auditor(known, whole, "check")
    # One look has no past: what is found is open, and nothing waits for a cluster to settle.
    auditor.rules = [
        replace(rule, open_after=1, open_after_torn=1, resolve_after=1) for rule in auditor.rules
    ]
    settings = contexts.from_args(args)
    until = time.monotonic() + wait
    while True:
        client = await _client(settings, until)
        try:
            return await _epochs(auditor, client, args.epochs, until)
        except (ConnectError, nats.errors.Error) as error:
            # An error before the first epoch, on a connection that lasts, is about this user.
            temporary = client.closed.is_set() or auditor.number > 0
            if not temporary or time.monotonic() >= until:
                raise ConnectError(str(error)) from None
        finally:
            await client.close()
        await asyncio.sleep(_PAUSE)


async def _client(settings: Settings, until: float) -> Client:
    """A connected client, for which it waits until then while no server can be reached."""
    while True:
        try:
            return await connect(settings, name="nats-insights-check")
        except Unreachable:
            if time.monotonic() >= until:
                raise
        await asyncio.sleep(_PAUSE)


async def _epochs(auditor: Auditor, client: Client, least: int, until: float) -> View:
    """So many epochs at least, and until then more of them while something is wrong."""
    access = await recognise(client)
    auditor.system_accounts |= {access.account}
    gatherer = Gatherer(client, auditor.config.gather.timeout, Window(auditor.config.gather.window))
    while True:
        await epoch(auditor, gatherer, time.time(), settle=0)
        if not auditor.snapshot.servers:
            raise ConnectError("no server answered: is this a NATS server with a system account?")
        agent = AgentInfo(
            id="check", instance="", version=__version__, epoch=auditor.number, role="leader"
        )
        view = View.of(auditor, agent, access, cost(auditor, gatherer), client.max_payload)
        left, healthy = until - time.monotonic(), show.EXIT[verdict(view)] == 0
        if auditor.number < least:
            await asyncio.sleep(auditor.config.interval)
        elif left <= 0 or healthy:
            return view
        else:
            await asyncio.sleep(min(auditor.config.interval, left))
