"""The permissions that the agent's user needs, in the format of a server configuration."""

from __future__ import annotations

from collections.abc import Iterable
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
    f"{subjects.HEARTBEAT}.*",
    *subjects.EVENTS,
)
_HEAD = """\
# What the agent's user may publish and subscribe to. The two other files of this folder include it;
# docs/permissions.md says why each line is here, and what fails without it.
"""


def permissions(endpoints: Iterable[Endpoint[Any]]) -> str:
    """The permissions of a user that requests these endpoints, for a server configuration."""
    asked = {endpoint.subject().replace(".PING.", ".*.", 1) for endpoint in (*_ALWAYS, *endpoints)}
    asked = {subject.replace("ACCOUNT.*.", "ACCOUNT.PING.") for subject in asked}
    publish = (*_BY_HAND, *sorted(asked), *_PUBLISHED)
    return "\n".join(
        [
            _list("publish", publish),
            _list("subscribe", _SUBSCRIBED),
            "allow_responses: true",
            "",
        ]
    )


def file(endpoints: Iterable[Endpoint[Any]]) -> str:
    """The same as a file to be included."""
    return _HEAD + permissions(endpoints)


def _list(what: str, allowed: Iterable[str]) -> str:
    lines = "\n".join(f'  "{subject}"' for subject in allowed)
    return f"{what}: {{ allow: [\n{lines}\n] }}"
