"""What one epoch heard, as plain data: a recording of it can be judged again at any time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from nats_insights.facts import Names
from nats_insights.replies.fields import ServerInfo


class Expected(Struct, frozen=True, kw_only=True):
    """Who should answer: ids of the servers that answered last time, and of all that belong.

    `keys` has the (cluster, name) of every id that is known.
    """

    answering: frozenset[str] = frozenset()
    belonging: frozenset[str] = frozenset()
    keys: dict[str, Names] = {}

    def missing(self, infos: Mapping[str, ServerInfo]) -> set[str]:
        """Ids that should have answered; not those whose server answered under a new one."""
        came = (info for server_id, info in infos.items() if server_id not in self.keys)
        there = {(info.cluster, info.name) for info in came}
        return {one for one in self.belonging - infos.keys() if self.keys[one] not in there}


class Silence(Struct, frozen=True):
    """What became of the requests to a server that did not answer.

    It is hung where it takes requests and does not reply, or where only the agent cannot reach it;
    it is dead where no server takes requests for it, and none has a link to it.
    """

    state: Literal["hung", "dead"]
    why: str


class Heard:
    """The small replies of one epoch, by endpoint and server id, and who stayed silent.

    `asked` and `denied` are names of endpoints. `infos` are the servers that answered the roll
    call, `named` those that were only named by a peer. `errors` say what a server that answers
    failed to reply, and `unresponsive` are those of them that let a request time out. `own` is the
    id of the server that the agent is connected to. Replies to a request after its retry count.
    """

    def __init__(self, asked: Iterable[str] = (), own: str = "") -> None:
        self.asked = set(asked)
        self.own = own
        self.infos: dict[str, ServerInfo] = {}
        self.named: dict[str, ServerInfo] = {}
        self.replies: dict[str, dict[str, Any]] = defaultdict(dict)
        self.silent: dict[str, Silence] = {}
        self.errors: dict[str, str] = {}
        self.unresponsive: set[str] = set()
        self.denied: set[str] = set()

    def add(self, endpoint: str, server_id: str, reply: Any) -> None:
        """The first reply of a server stands; a second one is a duplicate."""
        self.replies[endpoint].setdefault(server_id, reply)


class Target(Struct, frozen=True):
    """A server to be read: about how many connections it has, or accounts that have JetStream.

    `leafs` says whether leaf nodes can be among its connections.
    """

    key: Names
    id: str
    rows: int
    leafs: bool = True
