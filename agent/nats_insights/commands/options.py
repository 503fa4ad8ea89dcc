"""Options that several commands share."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def format_option(parser: ArgumentParser, *more: str) -> None:
    """`--format text|json`, or one of `more`."""
    parser.add_argument(
        "--format", choices=("text", "json", *more), default="text", help="output format (text)"
    )


def config_options(parser: ArgumentParser) -> None:
    """`--config` and `--interval`."""
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration file")
    parser.add_argument("--interval", metavar="30s", help="time from one epoch to the next (30s)")
