"""Replies made by this program itself, for when no agent can be asked."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from nats_insights import __version__
from nats_insights.commands.ask import ask
from nats_insights.commands.catalogue import checks_option, known_checks, load_config
from nats_insights.config import Config
from nats_insights.connection import contexts
from nats_insights.errors import ConnectError, RequestError
from nats_insights.facts import Access, Cost, Coverage
from nats_insights.judge.declare import Check
from nats_insights.judge.rules import rules
from nats_insights.tell import queries
from nats_insights.tell.messages import AgentInfo
from nats_insights.tell.queries import Refused
from nats_insights.tell.view import View

R = TypeVar("R", bound=Struct)


def options(parser: ArgumentParser) -> None:
    """`--own`, `--config` and `--checks`."""
    parser.add_argument(
        "--own", action="store_true", help="ask no agent: show the defaults of this program"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="ask no agent: show the parameters that this TOML file sets",
    )
    checks_option(
        parser, "ask no agent: also show the checks of this Python package; may be repeated"
    )
    contexts.add_options(parser)


async def ask_or_own(args: Namespace, name: str, into: type[R], **body: Any) -> R:
    """The agent's reply; without an agent that of this program, and a note on standard error."""
    if not (args.own or args.config or args.checks):
        try:
            return await ask(contexts.from_args(args), name, into, **body)
        except (ConnectError, RequestError) as error:
            if "there is no check" in str(error):
                raise
            print(
                f"no agent was asked ({error}); these are the defaults",
                file=sys.stderr,
            )
    known = known_checks(args)
    loaded = load_config(args, known)
    try:
        reply = queries.answer(_view(known, loaded), name, msgspec.json.encode(body))
    except Refused as refused:
        raise RequestError(str(refused)) from None
    return msgspec.json.decode(reply, type=into)


def _view(known: list[Check], loaded: Config) -> View:
    return View(
        agent=AgentInfo(id="none", instance="", version=__version__, epoch=0, role="standby"),
        coverage=Coverage(servers_known=0, servers_answered=0, missing=[]),
        access=Access(mode="system", account="", user=""),
        checks=known,
        rules=rules(known, loaded),
        lives=[],
        transitions=[],
        known_since=time.time(),
        outcomes={},
        servers=[],
        cost=Cost(),
        started_at=time.time(),
        interval=loaded.interval,
        valid_for=0.0,
    )
