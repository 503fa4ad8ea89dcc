"""The filters of `findings` and `history`, as options and as fields of the request."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, get_args

from nats_insights.facts import Scope
from nats_insights.tell.messages import SeverityName

# Fields of the request, and the option for each: --server and --user are of the connection.
_FIELDS = {
    "code": "code",
    "severity_at_least": "severity",
    "scope": "scope",
    "cluster": "cluster",
    "server": "server_name",
    "account": "account",
    "user": "user_name",
}


def options(parser: ArgumentParser) -> None:
    """The filters."""
    add = parser.add_argument
    add(
        "--severity",
        type=str.lower,
        choices=get_args(SeverityName),
        help="only findings of this severity and worse",
    )
    add("--code", metavar="CODE", help="only findings of this check, by its code or name")
    add(
        "--scope",
        type=str.upper,
        choices=get_args(Scope),
        help="only findings of checks with this scope",
    )
    add("--cluster", metavar="NAME", help="only findings about this cluster and what is in it")
    add("--server-name", metavar="NAME", help="only findings about this server")
    add("--account", metavar="NAME", help="only findings about this account, by name or key")
    add("--user-name", metavar="NAME", help="only findings about this user, by name or key")


def given(args: Namespace, **more: str) -> dict[str, Any]:
    """The fields of the request that were given, of these filters and of `more` options."""
    fields = _FIELDS | more
    return {name: value for name, of in fields.items() if (value := getattr(args, of))}
