"""Options that several commands share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from msgspec.structs import replace

from nats_insights import config
from nats_insights.config import Config
from nats_insights.errors import ConfigError


def format_option(parser: ArgumentParser) -> None:
    """`--format text|json`."""
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="output format (text)"
    )


def config_options(parser: ArgumentParser) -> None:
    """`--config` and `--interval`."""
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration file")
    parser.add_argument("--interval", metavar="30s", help="time from one epoch to the next (30s)")


def load_config(args: Namespace) -> Config:
    """The configuration that these options ask for."""
    loaded = config.load(args.config) if args.config else Config()
    if args.interval is None:
        return loaded
    interval = config.seconds(args.interval, "--interval")
    if interval < 0.1:
        raise ConfigError("--interval is refused: expected 100ms or more")
    return replace(loaded, interval=interval)
