"""The replies of one epoch as plain data, which can be recorded and judged again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from nats_insights.facts import Names
from nats_insights.replies.fields import ServerInfo


class Expected(Struct, frozen=True, kw_only=True):
    """Who should reply: ids of the servers that replied last time, and of all that belong.

    `keys` has the (cluster, name) of every id that is known.
    """

    answering: frozenset[str] = frozenset()
    belonging: frozenset[str] = frozenset()
    keys: dict[str, Names] = {}

    def missing(self, infos: Mapping[str, ServerInfo]) -> set[str]:
        """Ids that should have replied, except those whose server replied with a new id."""
        came = (info for server_id, info in infos.items() if server_id not in self.keys)
        there = {(info.cluster, info.name) for info in came}
        return {one for one in self.belonging - infos.keys() if self.keys[one] not in there}


class Silence(Struct, frozen=True):
    """The state of a server that did not reply, and why.

    It is `linked` if nothing takes requests for it and yet another server has a link to it.

    It is hung if it receives requests and does not reply, or if only the agent cannot reach it; it
    is dead if requests to it have no responders, and no server has a link to it.
    """

    state: Literal["hung", "dead"]
    why: str
    linked: bool = False


class Heard:
    """The small replies of one epoch, by endpoint and server id, and who did not reply.

    `asked` and `denied` are names of endpoints. `infos` are the servers that replied to the roll
    call, `named` those that were only named by a peer. `errors` say which request a server failed
    to reply to though it replied to others, and `unresponsive` are the servers of them with a
    timeout. `own` is the id of the server that the agent is connected to. `roll_call_took` is the
    seconds from the start of the epoch to the last reply to the roll call. Replies to a request are
    accepted after its retry, too.
    """

    def __init__(self, asked: Iterable[str] = (), own: str = "") -> None:
        self.asked = set(asked)
        self.own = own
        self.roll_call_took = 0.0
        self.infos: dict[str, ServerInfo] = {}
        self.named: dict[str, ServerInfo] = {}
        self.replies: dict[str, dict[str, Any]] = defaultdict(dict)
        self.silent: dict[str, Silence] = {}
        self.errors: dict[str, str] = {}
        self.unresponsive: set[str] = set()
        self.denied: set[str] = set()

    def add(self, endpoint: str, server_id: str, reply: Any) -> None:
        """Add a reply; only the first one of a server is kept, a second one is a duplicate."""
        self.replies[endpoint].setdefault(server_id, reply)


class AccountOn(Struct, frozen=True):
    """An account to read on one server, by the (cluster, name) and the id of the server."""

    key: Names
    id: str
    account: str


class Target(Struct, frozen=True):
    """A server to read: about how many connections it has, or accounts that use JetStream.

    `leafs` says whether leaf nodes can be among its connections.
    """

    key: Names
    id: str
    rows: int
    leafs: bool = True
