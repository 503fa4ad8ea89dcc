"""The system at one epoch: replies and sweeps turned into nouns, with what is lacking known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from . import wire
from .errors import Missing
from .fold import Fold, Tally, by_user
from .nouns import (
    ALL_SERVERS,
    ITS_SERVER,
    Account,
    AccountInCluster,
    Cluster,
    Noun,
    Server,
    System,
    User,
    seconds_between,
)
from .roster import Names, Roster

T = TypeVar("T")
# Keys merged between two breaths of the event loop.
STEP = 10_000


class Coverage(Struct, frozen=True, kw_only=True):
    """How much of the system an epoch heard."""

    servers_known: int
    servers_answered: int
    missing: list[str]

    @property
    def complete(self) -> bool:
        return not self.missing and self.servers_answered > 0


class Replies:
    """What an epoch heard: `(endpoint, server id)` to the decoded reply, and what was asked."""

    def __init__(self, asked: Iterable[str] = ()) -> None:
        self.asked = set(asked)
        self.data: dict[str, dict[str, Any]] = defaultdict(dict)
        self.denied: set[str] = set()

    def add(self, endpoint: str, server_id: str, data: Any) -> None:
        """The first reply of a server stands; a second one is a duplicate."""
        self.data[endpoint].setdefault(server_id, data)


class Swept(Struct, frozen=True):
    """A finished sweep of one server: which epoch made it, and what the folds remember."""

    epoch: int
    parts: dict[Fold, Tally]


class Snapshot:
    """The nouns of one epoch. `lacking` maps an endpoint to the servers that owe it."""

    def __init__(self, epoch: int, now: float) -> None:
        self.epoch, self.now = epoch, now
        self.servers: dict[Names, Server] = {}
        self.clusters: dict[str, Cluster] = {}
        self.accounts: dict[str, Account] = {}
        self.accounts_in_clusters: dict[Names, AccountInCluster] = {}
        self.system = System(self)
        self.coverage = Coverage(servers_known=0, servers_answered=0, missing=[])
        self.not_due: set[str] = set()
        self.denied: set[str] = set()
        self.lacking: dict[str, set[Names]] = defaultdict(set)
        self.changed_at: dict[str, float] = {}
        self.standing: list[Swept] = []
        self._seen: dict[Fold, Tally] = {}
        self._last_known: Tally | None = None
        self._owing: dict[str, str] = {}
        self._tables: dict[type[Noun], Callable[[], Iterable[Noun]]] = {
            Server: self.servers.values,
            Cluster: self.clusters.values,
            Account: self.accounts.values,
            AccountInCluster: self.accounts_in_clusters.values,
            User: self._users,
            System: lambda: [self.system],
        }

    def each(self, kind: type[Noun]) -> Iterable[Noun]:
        """Every noun of one kind."""
        return self._tables[kind]()

    def tallies(self) -> Iterable[Tally]:
        """What the folds remember, server by server."""
        for server in self.servers.values():
            yield from server.folds.values()

    def whole(self, endpoint: str, figure: T) -> T:
        """A sum over all servers: itself, or Missing where one of them owes its part."""
        if self.lacking.get(endpoint):
            raise Missing(endpoint, self._one_that_owes(endpoint))
        return figure

    def seen(self, fold: Fold) -> Tally:
        """A fold over all servers, with what has come: at least this."""
        if fold not in self._seen:
            for _ in self.merge([fold]):
                pass
        return self._seen[fold]

    def merge(self, folds: Iterable[Fold]) -> Iterator[None]:
        """Make `seen` ready for these folds, in steps of some milliseconds."""
        for fold in folds:
            total, rows = Tally(), 0
            for server in self.servers.values():
                if fold not in server.folds:
                    continue
                total.merge(server.folds[fold])
                rows += len(server.folds[fold])
                if rows >= STEP:
                    rows = 0
                    yield
            self._seen[fold] = total

    def folded(self, fold: Fold) -> Tally:
        """A fold over all servers, exact or Missing."""
        return self.whole(fold.endpoint, self.seen(fold))

    def last_known_users(self) -> Tally | None:
        """What the servers that owe CONNZ held when last swept; None if one never was."""
        if len(self.standing) < len(self.lacking.get("CONNZ", ())):
            return None
        if self._last_known is None:
            self._last_known = Tally()
            for swept in self.standing:
                self._last_known.merge(swept.parts.get(by_user, Tally()))
        return self._last_known

    def owed(self, endpoints: Iterable[str]) -> str:
        """One reply of these endpoints that did not come, "" when all did."""
        late = (endpoint for endpoint in endpoints if self.lacking.get(endpoint))
        return next((f"{one} of {self._one_that_owes(one)}" for one in late), "")

    def lacks(self, subject: Noun, endpoints: Iterable[str]) -> str:
        """Why silence about this noun would prove nothing; "" when it would."""
        return self.lacks_for(type(subject), subject.names, subject.home, endpoints)

    def lacks_for(self, kind: type[Noun], names: Names, home: str, endpoints: Iterable[str]) -> str:
        """The same for a noun that may have vanished from this snapshot."""
        if kind.depends_on == ALL_SERVERS:
            return self.owed(endpoints)
        for endpoint in endpoints:
            late = self.lacking.get(endpoint)
            if not late:
                continue
            if kind.depends_on == ITS_SERVER:
                if names in late:
                    return f"{endpoint} of {names[-1]}"
            elif home in self.clusters and (hit := late & _members(self.clusters[home])):
                return f"{endpoint} of {min(hit)[-1]}"
        return ""

    def settling(self, subject: Noun, settle: float) -> bool:
        """Whether a server of its cluster started, left or went lame duck `settle` seconds ago."""
        home = self.clusters.get(subject.home)
        if home is None or settle <= 0:
            return False
        changed = self.now - self.changed_at.get(home.name, float("-inf"))
        return min(changed, home.memo(_youngest)) < settle

    def _one_that_owes(self, endpoint: str) -> str:
        # Found once, not for each of a million users that would name it.
        if endpoint not in self._owing:
            self._owing[endpoint] = min(self.lacking[endpoint])[-1]
        return self._owing[endpoint]

    def _users(self) -> Iterable[User]:
        users = self.seen(by_user)
        for (account, name), count in users.items():
            yield User(account, name, count, self)
        for account, name in (self.last_known_users() or Tally()).keys() - users.keys():
            yield User(account, name, 0, self)


def build(
    roster: Roster,
    replies: Replies,
    sweeps: Mapping[Names, Swept],
    *,
    epoch: int,
    now: float,
    system_accounts: Collection[str] = ("$SYS",),
    own_server: str = "",
) -> Snapshot:
    """Turn what was heard into a snapshot.

    `sweeps` are the last finished sweeps by server; those of this epoch count, older ones are only
    what was last known. The accounts in `system_accounts` are left out of every figure.
    `own_server` is the id of the server that the agent itself is connected to.
    """
    snapshot = Snapshot(epoch, now)
    snapshot.denied = set(replies.denied)
    _coverage(snapshot, roster)
    for entry in roster:
        snapshot.changed_at[entry.cluster] = max(
            entry.changed_at, snapshot.changed_at.get(entry.cluster, float("-inf"))
        )
        if not entry.counts:
            continue
        server = _server(snapshot, entry.key)
        server.id, server.version, server.state = entry.id, entry.version, entry.state
        server.own_connections = int(entry.id == own_server)
        for endpoint in replies.asked - {"CONNZ"}:
            data = replies.data[endpoint].get(entry.id)
            if data is None:
                snapshot.lacking[endpoint].add(entry.key)
            else:
                _TAKE[endpoint](server, data)
        if "CONNZ" in replies.asked:
            _take_sweep(snapshot, server, sweeps.get(entry.key))
    _accounts(snapshot, frozenset(system_accounts))
    return snapshot


def _coverage(snapshot: Snapshot, roster: Roster) -> None:
    known, missing = roster.known(), roster.missing()
    snapshot.coverage = Coverage(
        servers_known=len(known), servers_answered=len(known) - len(missing), missing=missing
    )


def _server(snapshot: Snapshot, key: Names) -> Server:
    cluster = None
    if key[0]:
        cluster = snapshot.clusters.get(key[0])
        if cluster is None:
            cluster = snapshot.clusters[key[0]] = Cluster(key[0], snapshot)
    server = snapshot.servers[key] = Server(key[1], cluster, snapshot)
    if cluster:
        cluster.servers.append(server)
    return server


def _take_varz(server: Server, data: wire.Varz) -> None:
    server.varz = data
    server.settled = seconds_between(data.start, data.now)


def _take_statz(server: Server, data: wire.Statz) -> None:
    server.accounts = {stat.acc: stat for stat in data.account_statz or ()}


_TAKE: dict[str, Callable[[Server, Any], None]] = {
    "VARZ": _take_varz,
    "STATZ": _take_statz,
    "STATSZ": lambda server, data: setattr(server, "statsz", data),
    "SUBSZ": lambda server, data: setattr(server, "subsz", data),
    "ROUTEZ": lambda server, data: setattr(server, "routez", data),
    "LEAFZ": lambda server, data: setattr(server, "leafz", data),
    "ACCOUNTZ": lambda server, data: setattr(server, "accountz", data),
}


def _take_sweep(snapshot: Snapshot, server: Server, swept: Swept | None) -> None:
    if swept is not None and swept.epoch == snapshot.epoch:
        server.folds = swept.parts
        return
    snapshot.lacking["CONNZ"].add(server.names)
    if swept is not None:
        snapshot.standing.append(swept)


def _accounts(snapshot: Snapshot, system_accounts: frozenset[str]) -> None:
    for server in snapshot.servers.values():
        try:
            accounts = server.accounts
        except Missing:
            continue
        server.connections = 0
        for stat in accounts.values():
            if stat.conns and stat.acc not in system_accounts:
                server.connections += stat.conns
                _count(snapshot, server, stat)


def _count(snapshot: Snapshot, server: Server, stat: wire.AccountStat) -> None:
    account = snapshot.accounts.get(stat.acc)
    if account is None:
        account = snapshot.accounts[stat.acc] = Account(stat.acc, snapshot)
    account.seen += stat.conns
    account.on[server.names] = stat.conns
    if server.cluster is None:
        return
    key = (stat.acc, server.cluster.name)
    here = snapshot.accounts_in_clusters.get(key)
    if here is None:
        here = AccountInCluster(stat.acc, server.cluster, snapshot)
        snapshot.accounts_in_clusters[key] = here
    here.on[server.name] = stat.conns


def _members(cluster: Cluster) -> set[Names]:
    return {server.names for server in cluster.servers}


def _youngest(cluster: Cluster) -> float:
    return min((server.settled for server in cluster.servers), default=0.0)
