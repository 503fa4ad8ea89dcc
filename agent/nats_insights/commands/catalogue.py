"""Which checks there are: those of this program and those of other packages."""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from types import ModuleType

from nats_insights import checks
from nats_insights.errors import ConfigError
from nats_insights.judge.declare import Check, discover


def checks_option(
    parser: ArgumentParser, what: str = "also run the checks of this package"
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
    return package
