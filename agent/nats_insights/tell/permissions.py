"""The permissions that the agent's user needs, as each of the tools that make users takes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from nats_insights import subjects
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.gatewayz import GATEWAYZ
from nats_insights.replies.leafz import LEAFZ
from nats_insights.replies.routez import ROUTEZ
from nats_insights.replies.statsz import STATSZ
from nats_insights.replies.varz import VARZ

# Requested whatever checks are enabled: the servers, and links to silent servers.
_ALWAYS: tuple[Endpoint[Any], ...] = (VARZ, STATSZ, ROUTEZ, GATEWAYZ, LEAFZ)
# Names and ids, which people request by hand as the agent's user.
_BY_HAND = ("$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.*.IDZ")
_PUBLISHED = (
    subjects.USER_INFO,
    "$INSIGHTS.>",
    "INSIGHTS.ACCOUNT.*.ADVISORY.>",
    subjects.api("*"),
    subjects.PING_SERVICE,
)
_SUBSCRIBED = (
    "_INBOX.insights.>",
    subjects.api("*"),
    "INSIGHTS.ACCOUNT.*.API.*",
    "$SRV.>",
    *subjects.OF_AGENTS,
    *subjects.EVENTS,
)
# What a server makes of `allow_responses: true`: one reply to each request, within two minutes.
_REPLIES, _REPLY_MINUTES = 1, 2
# What `nats auth user add` has no flag for, and what does instead.
NATS_AUTH_LACKS = (
    "nats auth user add has no flag for allow_responses, without which queries get no reply: "
    "use nsc, or add --pub-allow '_INBOX.>' --pub-allow '_R_.>'"
)
_HEAD = """\
# What the agent's user may publish and subscribe to. The two other files of this folder include it;
# docs/permissions.md says why each line is here, and what fails without it.
"""


def permissions(endpoints: Iterable[Endpoint[Any]], prefix: str = subjects.SYS_REQ) -> str:
    """The permissions of a user that requests these endpoints, for a server configuration.

    Of an account that imports them with another `prefix`, those requests alone.
    """
    return "\n".join(
        [
            _list("publish", _publish(endpoints, prefix)),
            _list("subscribe", _SUBSCRIBED),
            "allow_responses: true",
            "",
        ]
    )


def nats_auth(endpoints: Iterable[Endpoint[Any]], prefix: str = subjects.SYS_REQ) -> str:
    """The same as flags of `nats auth user add`, but for what `NATS_AUTH_LACKS` says."""
    publish = _publish(endpoints, prefix)
    return _lines(*_flags("--pub-allow", publish), *_flags("--sub-allow", _SUBSCRIBED))


def nsc(endpoints: Iterable[Endpoint[Any]], prefix: str = subjects.SYS_REQ) -> str:
    """The same as flags of `nsc edit user`."""
    return _lines(
        *_flags("--allow-pub", _publish(endpoints, prefix)),
        *_flags("--allow-sub", _SUBSCRIBED),
        f"--allow-pub-response={_REPLIES}",
        f"--response-ttl {_REPLY_MINUTES}m",
    )


def claims(endpoints: Iterable[Endpoint[Any]], prefix: str = subjects.SYS_REQ) -> str:
    """The same as claims of a user JWT: these belong into its `nats`."""
    nanoseconds = _REPLY_MINUTES * 60 * 10**9
    part = {
        "pub": {"allow": _publish(endpoints, prefix)},
        "sub": {"allow": _SUBSCRIBED},
        "resp": {"max": _REPLIES, "ttl": nanoseconds},
    }
    return json.dumps(part, indent=2) + "\n"


FORMATS: dict[str, Callable[[Iterable[Endpoint[Any]], str], str]] = {
    "server": permissions,
    "nats-auth": nats_auth,
    "nsc": nsc,
    "json": claims,
}


def file(endpoints: Iterable[Endpoint[Any]]) -> str:
    """The same as a file to be included."""
    return _HEAD + permissions(endpoints)


def _publish(endpoints: Iterable[Endpoint[Any]], prefix: str) -> list[str]:
    asked = {endpoint.subject().replace(".PING.", ".*.", 1) for endpoint in (*_ALWAYS, *endpoints)}
    asked = {subject.replace("ACCOUNT.*.", "ACCOUNT.PING.") for subject in asked}
    if prefix != subjects.SYS_REQ:
        return [*sorted(subjects.requests_of(prefix, one) for one in asked), *_PUBLISHED]
    return [*_BY_HAND, *sorted(asked), *_PUBLISHED]


def _flags(flag: str, values: Iterable[str]) -> list[str]:
    return [f"{flag} {shlex.quote(value)}" for value in values]


def _lines(*flags: str) -> str:
    """A flag a line, as a shell continues a command over lines."""
    return " \\\n".join(flags) + "\n"


def _list(what: str, allowed: Iterable[str]) -> str:
    lines = "\n".join(f'  "{subject}"' for subject in allowed)
    return f"{what}: {{ allow: [\n{lines}\n] }}"
