"""Monitor a system: publish advisories on $INSIGHTS.> and answer queries, until stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from nats_insights.agent import garbage
from nats_insights.agent.loop import Agent
from nats_insights.agent.state import State
from nats_insights.agent.state_file import StateFile
from nats_insights.agent.systemd import Systemd
from nats_insights.commands.catalogue import checks_option, known_checks, load_config
from nats_insights.commands.options import config_options
from nats_insights.connection import contexts
from nats_insights.errors import ConfigError
from nats_insights.judge.declare import Check
from nats_insights.text import plain

log = logging.getLogger(__name__)


def options(parser: ArgumentParser) -> None:
    """Flags of `run`."""
    config_options(parser)
    checks_option(parser)
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="keep findings, servers and history in this file, so that a restart goes on from them",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log debug messages and tracebacks"
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Run the agent; 0 when it was stopped by a signal."""
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
    )
    told_to_stop, told_to_reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    on_terminal = sys.stderr.isatty()

    def hung_up() -> None:
        closed = on_terminal and not sys.stderr.isatty()
        (told_to_stop if closed else told_to_reload).set()

    # Before the file is read for the first time: no change of it goes unnoticed.
    loop.add_signal_handler(signal.SIGHUP, hung_up)
    known = known_checks(args)
    loaded = load_config(args, known)
    first = contexts.from_args(args)
    second = contexts.publishing(loaded.publish, first, os.environ)
    agent = Agent(known, loaded, _state(args.state))
    agent.systemd = Systemd(os.environ)
    garbage.keep_out_of_epochs()
    agent.after_epoch = garbage.collect
    watching = asyncio.create_task(agent.run(first, second))
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told_to_stop.set)
    stopping = asyncio.create_task(told_to_stop.wait())
    reloading = asyncio.create_task(_reload(agent, args, known, told_to_reload))
    await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
    agent.systemd.stops()
    stopping.cancel()
    reloading.cancel()
    while not watching.done():
        # Once may not be enough: up to Python 3.11, a wait_for below can swallow it.
        watching.cancel()
        await asyncio.wait([watching], timeout=1.0)
    if watching.cancelled():
        if left := len(agent.advisories.outbox.waiting):
            log.warning("messages that no server has confirmed, and that may be lost: %d", left)
        log.info("stopped")
        return 0
    await watching
    return 0


def _state(path: Path | None) -> State:
    """The state in this file, which no other agent may use until this process ends."""
    if path is None:
        return State()
    file = StateFile(path)
    file.lock()
    return State.in_file(file)


async def _reload(
    agent: Agent, args: Namespace, known: Sequence[Check], told: asyncio.Event
) -> None:
    """Read the configuration again whenever told to; the agent keeps its own if it is wrong."""
    while True:
        await told.wait()
        told.clear()
        if args.config is None:
            log.warning("there is no configuration to reload: `run` was started without --config")
            continue
        try:
            agent.reload(load_config(args, known))
        except ConfigError as error:
            log.error("%s; the agent goes on with its last configuration", plain(str(error)))
