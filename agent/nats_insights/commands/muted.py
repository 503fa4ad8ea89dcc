"""What `mute` and `unmute` share: the options that say what, and who says so."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser, Namespace

from nats_insights.commands import show
from nats_insights.errors import ConfigError
from nats_insights.tell.messages import MutesReply
from nats_insights.text import plain

# Seconds to wait: the agent answers after its next epoch, which takes longer while a server hangs.
SECONDS = 60.0
# Fields of the request, and the option for each: --server and --user are of the connection.
_WHAT = {
    "code": "code",
    "fingerprint": "finding",
    "cluster": "cluster",
    "server": "server_name",
    "account": "account",
    "user": "user_name",
}
_LONGEST_NAME = 64


def options(parser: ArgumentParser) -> None:
    """What, and who."""
    add = parser.add_argument
    add("--code", metavar="CODE", help="findings of this check, by its code or name")
    add("--finding", metavar="FINGERPRINT", help="this finding")
    add("--cluster", metavar="NAME", help="findings about this cluster and what is in it")
    add("--server-name", metavar="NAME", help="findings about this server")
    add("--account", metavar="NAME", help="findings about this account, by name or key")
    add("--user-name", metavar="NAME", help="findings about this user, by name or key")
    add(
        "--who",
        metavar="NAME",
        help="who says so, for the others (default: the name of the local user)",
    )


def given(args: Namespace) -> dict[str, str]:
    """The fields that say what, as far as they were given."""
    return {name: value for name, of in _WHAT.items() if (value := getattr(args, of)) is not None}


def named(args: Namespace, command: str) -> dict[str, str]:
    """The same; ConfigError if nothing was given."""
    what = given(args)
    if not what:
        flags = ", ".join(f"--{of.replace('_', '-')}" for of in _WHAT.values())
        raise ConfigError(f"say what to {command}, by at least one of {flags}")
    return what


def who(args: Namespace) -> str:
    """Who was given, else the name of the local user, "" if it has none."""
    if args.who is not None:
        return str(args.who)
    try:
        return plain(getpass.getuser())[:_LONGEST_NAME]
    except (OSError, KeyError):
        return ""


def told(reply: MutesReply, form: str) -> None:
    """Print what is muted."""
    if form == "json":
        show.json(reply)
    else:
        show.mutes(reply)
