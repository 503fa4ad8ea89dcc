"""Show the help of a command, or list the flags of the connection."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _SubParsersAction

from nats_insights.commands import show
from nats_insights.connection import contexts
from nats_insights.errors import InsightsError
from nats_insights.text import nearest

_CONNECTION = """Every command that connects takes these settings, as the nats CLI has them: a flag
overrides a variable, and a variable overrides a context. Passwords and tokens belong in variables,
contexts or files: every user of the machine can read flags in the list of processes."""


def options(parser: ArgumentParser) -> None:
    """What to show."""
    parser.add_argument(
        "topic", nargs="?", metavar="TOPIC", help="name of a command, or `connection`"
    )


async def run(args: Namespace) -> int:
    """Print the help of the program, of a command, or of the connection."""
    top: ArgumentParser = args.parser()
    (below,) = [action for action in top._actions if isinstance(action, _SubParsersAction)]
    topics = {**below.choices, "connection": _connection()}
    if args.topic is None:
        show.console().print(top.format_help(), end="")
        return 0
    if args.topic not in topics:
        near = nearest(args.topic, topics)
        hint = f"did you mean {near}?" if near else f"known are {', '.join(topics)}"
        raise InsightsError(f"there is no help on {args.topic!r}, {hint}")
    show.console().print(topics[args.topic].format_help(), end="")
    return 0


def _connection() -> ArgumentParser:
    parser = ArgumentParser(
        prog="nats-insights COMMAND",
        usage="%(prog)s [flags]",
        description=_CONNECTION,
        add_help=False,
    )
    contexts.add_options(parser, listed=True)
    return parser
