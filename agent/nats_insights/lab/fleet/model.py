"""The state of a simulated fleet: its servers, and every single connection on each of them."""

from __future__ import annotations

import random
import time
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from msgspec import Struct, field

from nats_insights.lab.fleet import names
from nats_insights.lab.fleet.splice import Packed

if TYPE_CHECKING:
    from nats_insights.lab.fleet.streams import Stream

SYSTEM_ACCOUNT = "SYS"
GLOBAL_ACCOUNT = "$G"
MAX_CONNECTIONS = 65_536

# Long ago, so that no check waits for a start to settle: 2025-01-01T00:00:00Z.
BORN = 1_735_689_600
# Routes and gateways took the smaller ones.
_FIRST_CID = 21


class User(Struct, frozen=True, kw_only=True, cache_hash=True, gc=False):
    """A login, and the program that uses it. Kind `leaf` is a leaf node's, not a client's.

    A Fleet keeps one of each, and there may be a million of them.
    """

    account: str
    name: str
    kind: Literal["nats", "websocket", "mqtt", "leaf"] = "nats"
    program: str = "worker"
    lang: str = "go"
    version: str = "1.47.0"


class Connection(NamedTuple):
    """One connection: what the truth is counted from."""

    cid: int
    user: User
    subscriptions: int


class Restart(NamedTuple):
    """A restart of a server, at a moment in Unix seconds, with or without its goodbye."""

    at: float
    server: Server
    announced: bool


class Tally(Struct, frozen=True):
    """What one server holds, by account: its clients', and its leaf nodes'."""

    connections: Counter[str] = field(default_factory=Counter)
    subscriptions: Counter[str] = field(default_factory=Counter)
    leafnodes: Counter[str] = field(default_factory=Counter)
    leaf_subscriptions: Counter[str] = field(default_factory=Counter)


class Cluster:
    """Servers joined by routes, the dead ones among them.

    `jetstream` are the accounts that may use JetStream: where there are none, it is off.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.servers: list[Server] = []
        self.jetstream: tuple[str, ...] = ()
        self.streams: list[Stream] = []
        self.changed()

    def changed(self) -> None:
        """Drops what was worked out from the connections as they were."""
        self.interest: Counter[str] | None = None
        self.accounts: tuple[str, ...] = ()

    def reassigned(self) -> None:
        """Drops what was worked out from the streams of its servers as they were."""
        for server in self.servers:
            server.holds = None
            server.details.clear()

    @property
    def running(self) -> list[Server]:
        return [server for server in self.servers if server.running]


class Server:
    """One server: who it is, and its connections as parallel arrays in the order of their cids.

    16 bytes a connection. Change it through its Fleet only, which keeps the counts right.
    """

    def __init__(self, name: str, cluster: Cluster, number: int) -> None:
        self.name = name
        self.cluster = cluster
        self.host = f"10.{100 + number // 65_536}.{number // 256 % 256}.{number % 256}"
        self.max_connections = MAX_CONNECTIONS
        self.running = True
        self.seq = 0
        self.id = ""
        # What it says otherwise than is worked out here, by endpoint: see `said.altered`.
        self.said: dict[str, dict[str, Any]] = {}
        # Seconds that its clock is ahead, and the servers of its cluster that it has no routes to.
        self.ahead = 0.0
        self.cut: set[Server] = set()
        self.restarts: list[Restart] = []
        # What it replicates, and what was worked out of that; all of it stays when it dies.
        self.streams: list[Stream] = []
        self.holds: dict[str, Any] | None = None
        self.details: dict[tuple[object, ...], Packed] = {}
        self.begin(BORN)

    @property
    def peers(self) -> list[Server]:
        """The servers that it has routes to."""
        others = self.cluster.running
        return [peer for peer in others if peer is not self and peer not in self.cut]

    def say(self, endpoint: str, part: dict[str, Any]) -> None:
        """From now on it says this in its replies, beside what else it was told to say."""
        self.said[endpoint] = _joined(self.said.get(endpoint, {}), part)

    def begin(self, at: int) -> None:
        """Starts a new life without connections; `at` in Unix seconds."""
        self.started = at
        self.total_connections = 0
        self.next_cid = _FIRST_CID
        self.cids = array("I")
        self.users = array("I")
        self.subscriptions = array("I")
        self.opened = array("I")
        self.changed()

    def changed(self) -> None:
        """Drops what was worked out from the connections as they were."""
        self.tally: Tally | None = None
        self.interest: Counter[str] | None = None
        self.pages: dict[tuple[bool, int, int], Packed] = {}
        self.cluster.changed()


class Fleet:
    """Simulated servers in clusters; all that can happen to them happens through this class.

    `layout` has the names of the servers of each cluster. Whatever is chosen at random is chosen
    by `seed`; `clock` tells Unix seconds.
    """

    def __init__(
        self,
        layout: Mapping[str, Sequence[str]],
        *,
        seed: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.rng = random.Random(seed)
        self.users: list[User] = []
        self.clusters = [Cluster(name, number) for number, name in enumerate(layout)]
        self.servers: list[Server] = []
        self.ids: dict[str, Server] = {}
        self.dead: set[str] = set()
        # What happens when its time has come.
        self.agenda: list[Restart] = []
        self._numbers: dict[User, int] = {}
        for cluster in self.clusters:
            for name in layout[cluster.name]:
                server = Server(name, cluster, len(self.servers))
                cluster.servers.append(server)
                self.servers.append(server)
                self._name(server)

    @property
    def running(self) -> list[Server]:
        """The servers that live: those whose id is in `ids`."""
        return [server for server in self.servers if server.running]

    def server(self, name: str) -> Server:
        """The first server of that name; KeyError if there is none."""
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)

    def some(self, share: float) -> list[Server]:
        """A random share, 0 to 1, of the running servers: at least one, unless it is 0."""
        running = self.running
        # Rounded first: 0.07 of 100 is 7, whatever floats make of it.
        return self.rng.sample(running, ceil(round(share * len(running), 6)))

    def number(self, user: User) -> int:
        """The number that stands for a user in a server's arrays; makes the user known."""
        if user not in self._numbers:
            self._numbers[user] = len(self.users)
            self.users.append(user)
        return self._numbers[user]

    def open(self, server: Server, user: User, count: int = 1, subscriptions: int = 1) -> None:
        """Opens `count` connections of `user`, each with that many subscriptions."""
        at = int(self.clock())
        self.accept(server, [self.number(user)] * count, [subscriptions] * count, [at] * count)

    def accept(
        self,
        server: Server,
        users: Sequence[int],
        subscriptions: Iterable[int],
        opened: Iterable[int],
    ) -> None:
        """Opens one connection for each entry; `opened` in Unix seconds."""
        server.cids.extend(range(server.next_cid, server.next_cid + len(users)))
        server.users.extend(users)
        server.subscriptions.extend(subscriptions)
        server.opened.extend(opened)
        server.next_cid += len(users)
        # Leaf nodes take a cid but are not counted here, as on a real server.
        server.total_connections += sum(self.users[user].kind != "leaf" for user in users)
        server.changed()

    def close(self, server: Server, cid: int) -> None:
        """Closes one connection; KeyError if it is not open."""
        at = bisect_left(server.cids, cid)
        if at == len(server.cids) or server.cids[at] != cid:
            raise KeyError(cid)
        for column in (server.cids, server.users, server.subscriptions, server.opened):
            del column[at]
        server.changed()

    def close_some(self, server: Server, count: int, below: int | None = None) -> None:
        """Closes up to `count` client connections, only of the first `below` rows if given."""
        rows = range(len(server.cids) if below is None else min(below, len(server.cids)))
        clients = [i for i in rows if self.users[server.users[i]].kind != "leaf"]
        for cid in [server.cids[i] for i in self.rng.sample(clients, min(count, len(clients)))]:
            self.close(server, cid)

    def churn(self, share: float, *, closed: int = 1, opened: int = 1) -> list[Server]:
        """On a random share of the running servers, closes and opens some connections.

        The new ones belong to users whom its cluster knows. Returns the servers that it touched.
        """
        touched = self.some(share)
        for server in touched:
            known = self._somebody(server.cluster)
            self.close_some(server, closed)
            if known:
                at = [int(self.clock())] * opened
                users = self.rng.choices(known, k=opened)
                self.accept(server, users, self.rng.choices((1, 2, 3, 4), k=opened), at)
        return touched

    def kill(self, server: Server) -> None:
        """Ends a server without a word: its id answers no more, its connections are gone."""
        server.running = False
        self.ids.pop(server.id, None)
        self.dead.add(server.id)
        server.begin(server.started)
        server.cluster.reassigned()

    def restart(self, server: Server, announced: bool = False) -> None:
        """Starts a server anew, with another id; the clients it had until now come back."""
        users, subscriptions = server.users, server.subscriptions
        self.kill(server)
        server.running = True
        server.begin(int(self.clock()))
        server.restarts.append(Restart(self.clock(), server, announced))
        server.cluster.reassigned()
        self._name(server)
        self.accept(server, users, subscriptions, [server.started] * len(users))

    def due(self) -> list[Restart]:
        """What of the agenda is due by now, the first first; it is not on the agenda any more."""
        now = self.clock()
        due = sorted((one for one in self.agenda if one.at <= now), key=lambda one: one.at)
        self.agenda = [one for one in self.agenda if one.at > now]
        return due

    def connections(self, server: Server) -> Iterator[Connection]:
        """Every connection of a server in the order of cids, leaf nodes among them."""
        rows = zip(server.cids, server.users, server.subscriptions, strict=True)
        for cid, user, subscriptions in rows:
            yield Connection(cid, self.users[user], subscriptions)

    def _somebody(self, cluster: Cluster) -> list[int]:
        """The ordinary users of one server of a cluster, as often as they are connected."""
        members = [server for server in cluster.running if server.users]
        some = self.rng.choice(members).users if members else ()
        return [number for number in some if _ordinary(self.users[number])]

    def _name(self, server: Server) -> None:
        server.id = names.server_id(self.rng)
        self.ids[server.id] = server


def _joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {key: _joined(old[key], new[key]) for key in old.keys() & new if _nested(old, new, key)}
    return {**old, **new, **both}


def _nested(old: dict[str, Any], new: dict[str, Any], key: str) -> bool:
    return isinstance(old[key], dict) and isinstance(new[key], dict)


def _ordinary(user: User) -> bool:
    return user.kind != "leaf" and user.account != SYSTEM_ACCOUNT
