"""Options that several commands share."""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType

from msgspec.structs import replace

from nats_insights import checks, config
from nats_insights.config import Config
from nats_insights.errors import ConfigError
from nats_insights.judge.declare import Check, discover


def format_option(parser: ArgumentParser) -> None:
    """`--format text|json`."""
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="text for people, or json"
    )


def config_options(parser: ArgumentParser) -> None:
    """`--config` and `--interval`."""
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration file")
    parser.add_argument("--interval", metavar="30s", help="from one epoch to the next")


def checks_option(parser: ArgumentParser) -> None:
    """`--checks PACKAGE`."""
    parser.add_argument(
        "--checks", action="append", default=[], metavar="PACKAGE", help="more checks, of a package"
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
    return package


def load_config(args: Namespace) -> Config:
    """The configuration that these options ask for."""
    loaded = config.load(args.config) if args.config else Config()
    if args.interval is None:
        return loaded
    interval = config.seconds(args.interval, "--interval")
    if interval < 0.1:
        raise ConfigError("--interval is refused: expected 100ms or more")
    return replace(loaded, interval=interval)
