"""Which checks there are, of this program and of other packages, and their configuration."""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from types import ModuleType

from msgspec.structs import replace

from nats_insights import checks, config
from nats_insights.config import Config
from nats_insights.errors import ConfigError, DeclarationError
from nats_insights.judge.declare import Check, discover
from nats_insights.judge.plan import every, plan
from nats_insights.judge.rules import rules


def checks_option(
    parser: ArgumentParser,
    what: str = "also run the checks of this Python package; may be repeated",
) -> None:
    """`--checks PACKAGE`."""
    parser.add_argument(
        "--checks",
        action="append",
        default=[],
        metavar="PACKAGE",
        help=what,
    )


def known_checks(args: Namespace) -> list[Check]:
    """The checks of this program and those of the packages asked for."""
    return discover(checks, *(_package(name) for name in args.checks))


def _package(name: str) -> ModuleType:
    try:
        package = importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"--checks {name} cannot be imported: {error}") from None
    if not hasattr(package, "__path__"):
        raise ConfigError(f"--checks {name} is a module, not a package of checks")
    try:
        found = discover(package)
    except DeclarationError as error:
        raise DeclarationError(f"--checks {name}: {error}") from None
    if not found:
        raise ConfigError(f"--checks {name} is a package without checks")
    return package


def load_config(args: Namespace, known: Sequence[Check]) -> Config:
    """The configuration asked for; ConfigError for whatever these checks do not have."""
    loaded = config.load(args.config) if args.config else Config()
    try:
        every(plan(rules(known, loaded)).endpoints, loaded)
    except ConfigError as error:
        raise ConfigError(f"{args.config}: {error}") from None
    if getattr(args, "interval", None) is None:
        return loaded
    try:
        flags = config.convert({"interval": args.interval}, Config)
    except ConfigError as error:
        raise ConfigError(f"--{error}") from None
    return replace(loaded, interval=flags.interval)
