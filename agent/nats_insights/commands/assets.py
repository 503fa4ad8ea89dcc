"""Show, print or create the streams and buckets that keep what the agent publishes and knows."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from nats_insights import config
from nats_insights.agent.assets import Found, apply, look
from nats_insights.commands import show
from nats_insights.commands.options import whole
from nats_insights.commands.table import filled, wrapped
from nats_insights.config import Config
from nats_insights.connection import contexts
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import ConfigError
from nats_insights.tell.assets import LEASE_SECONDS, Asset, assets
from nats_insights.text import nearest, plain

_STYLES = {"fits": "green", "differs": "yellow", "wrong": "red", "missing": "yellow"}
_MB = 1_000_000


def options(parser: ArgumentParser) -> None:
    """Flags of `assets`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("status", "show", "apply"),
        default="status",
        metavar="ACTION",
        help="`status`, what is there and whether it fits (default); `show`, what there should be, "
        "as `nats stream add --config` takes it; `apply`, create what is missing",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="for `show`: the stream, in place of all"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the agent's TOML file: connect as its [publish] says where no connection flag is "
        "given, and keep the current state for four of its `remind_every`",
    )
    parser.add_argument(
        "--replicas",
        type=whole,
        metavar="N",
        help="replicas of each stream, 3 in a cluster (default: 1)",
    )
    parser.add_argument(
        "--lease",
        default=f"{LEASE_SECONDS:g}s",
        metavar="DURATION",
        help="how long a leader that vanished keeps the lead (default: %(default)s)",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="for `apply`: also change what exists and differs",
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Do it; 0 if everything is there and works, else 3."""
    _refuse_what_does_not_go_together(args)
    loaded = config.load(args.config) if args.config else Config()
    wanted = assets(
        replicas=1 if args.replicas is None else args.replicas,
        remind_every=loaded.lifecycle.remind_every,
        lease=_lease(args.lease),
    )
    if args.action == "show":
        return _show(wanted, args.name)
    if args.replicas is None:  # As many as there are, or as the servers choose.
        for asset in wanted:
            del asset.config["num_replicas"]
    client = await connect(_settings(args, loaded), name="nats-insights")
    try:
        jetstream = JetStream(client)
        if args.action == "apply":
            found = await apply(jetstream, wanted, update=args.update)
        else:
            found = await look(jetstream, wanted)
    finally:
        await client.close()
    return _table(found, args)


def _refuse_what_does_not_go_together(args: Namespace) -> None:
    if args.name is not None and args.action != "show":
        raise ConfigError(f"`assets {args.action}` takes no name: it is about all of them")
    if args.update and args.action != "apply":
        raise ConfigError("--update goes with `assets apply`")
    if args.replicas is not None and not 1 <= args.replicas <= 5:
        raise ConfigError(f"--replicas {args.replicas} is refused: it must be from 1 to 5")


def _lease(text: str) -> float:
    seconds = config.seconds(text, "--lease")
    if not 1 <= seconds <= 3600:
        raise ConfigError(f"--lease is refused: {text!r} is not between 1s and 1h")
    return seconds


def _settings(args: Namespace, loaded: Config) -> Settings:
    """Those of the flags; where none is given, those of [publish]."""
    first = contexts.from_args(args)
    second = contexts.publishing(loaded.publish, first, os.environ)
    return first if contexts.given(args) or second is None else second


def _show(wanted: Sequence[Asset], name: str | None) -> int:
    configs = {asset.name: asset.config for asset in wanted}
    if name is None:
        print(json.dumps(list(configs.values()), indent=2))
        return 0
    if name not in configs:
        near = nearest(name, configs)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(configs)}"
        raise ConfigError(f"there is no asset {name!r}; {hint}")
    print(json.dumps(configs[name], indent=2))
    return 0


def _table(found: Sequence[Found], args: Namespace) -> int:
    out = show.console()
    rows = [
        (
            Text(plain(one.name), "bold"),
            Text(one.done or one.fit.state, _STYLES[one.fit.state]),
            _size(one),
            plain("; ".join(one.fit.notes)),
        )
        for one in found
    ]
    for line in wrapped(filled(("stream", "state", "holds", ""), rows), out):
        out.print(line)
    states = {one.fit.state for one in found}
    hint = ""
    if args.action == "status" and "missing" in states:
        hint = "`nats-insights assets apply` creates what is missing"
    elif args.action == "apply" and not args.update and states & {"differs", "wrong"}:
        hint = "what exists is not changed without --update"
    if hint:
        print(hint, file=sys.stderr)
    return 0 if all(one.works for one in found) else 3


def _size(one: Found) -> str:
    if one.stream is None:
        return ""
    state = one.stream.state
    leader = ", no leader" if one.stream.leaderless else ""
    return f"{state.messages:,} messages, {state.bytes / _MB:.1f} MB{leader}"
