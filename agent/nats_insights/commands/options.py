"""Options that several commands share."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

EXIT_CODES = (
    "The exit code is that of the verdict: 0 for ok and info, 1 for warning, 2 for critical, 3 for "
    "unknown."
)


def format_option(parser: ArgumentParser, *more: str) -> None:
    """`--format text|json`, or one of `more`."""
    parser.add_argument(
        "--format",
        choices=("text", "json", *more),
        default="text",
        help="output format; json is the reply of the agent (default: text)",
    )


def whole(text: str) -> int:
    """A whole number from 0, as argparse reads an option."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def config_option(parser: ArgumentParser) -> None:
    """`--config`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="read the configuration from this TOML file"
    )


def config_options(parser: ArgumentParser) -> None:
    """`--config` and `--interval`."""
    config_option(parser)
    parser.add_argument(
        "--interval",
        metavar="DURATION",
        help="time from one epoch to the next, such as 10s (default: that of the file, or 30s)",
    )
