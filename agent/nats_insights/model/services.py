"""Micro services and their instances, by the subscriptions that each instance has.

An instance of a service answers to `$SRV.PING.<service>.<id>`, so the subscriptions of the clients
of an account name all of them. The clients of one account on one server are read again when a
connection or a subscription came or went there, and every hour; what was read is kept. In a large
system not all can be read at once, so the oldest come first.

A service that was seen is remembered for a day after its last instance.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from nats_insights.errors import Missing, TooSoon
from nats_insights.facts import Names
from nats_insights.replies.connz import Host
from nats_insights.replies.heard import AccountOn
from nats_insights.replies.statz import STATZ
from nats_insights.subjects import INSTANCE

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server
    from nats_insights.model.snapshot import Snapshot

# Readings in one epoch, and seconds after which one is repeated though nothing changed.
AT_ONCE = 256
STALE = 3600.0
# The age of what was never read: more than any other.
NEVER = 1e9
# Accounts that are known to have services come first, as if they had been read so long before.
PREFERRED = 600.0
# Instances that are kept in all: any client can subscribe as if it were thousands.
MOST_INSTANCES = 200_000
# Services that are remembered, and for how many seconds after their last instance.
MOST = 20_000
REMEMBERED = 86_400.0
# Seconds without an instance after which a service counts as new when it is back.
LAPSE = 600.0
_NAMED = 3
# The length of a name, which comes from a client. Real ones are short.
_LONGEST = 256

Pair = tuple[Names, str]
Mark = tuple[int, int, int]


class Instance(NamedTuple):
    """An instance of a service, the server that it is on, and its client library."""

    service: str
    id: str
    server: str
    lang: str
    version: str


class Seen(Struct, array_like=True):
    """Since when a service has instances, when it last had any, how many, and on which servers."""

    since: float
    last: float
    instances: int = 0
    servers: list[str] = []


class _Reading(Struct, gc=False):
    at: float
    mark: Mark
    instances: tuple[Instance, ...]


class Services:
    """What is known of services; `seen` by account and name of the service."""

    def __init__(self) -> None:
        self.seen: dict[Names, Seen] = {}
        self.at = 0.0
        self._instances: dict[Names, dict[str, Instance]] = {}
        self._readings: dict[Pair, _Reading] = {}
        self._kept = 0  # Instances in all readings.
        # As of the last `due`: the pairs that exist, with the figures that change with their
        # services, by account the servers that have clients of it, the pairs that were to be read,
        # and a server that did not say which there are.
        self._marks: dict[Pair, Mark] = {}
        self._servers: dict[str, list[Names]] = {}
        self._wanted: set[Pair] = set()
        # Accounts that were read on all of these servers, in any epoch.
        self._complete: set[str] = set()
        self._silent = ""

    def due(
        self, snapshot: Snapshot, without: Collection[str]
    ) -> Generator[None, None, list[AccountOn]]:
        """What to read in this epoch; accounts in `without` are left out."""
        self.at, self._silent = snapshot.now, ""
        preferred = {account: PREFERRED for account, _ in self.seen}
        servers: dict[str, list[Names]] = defaultdict(list)
        wanted: list[tuple[float, Pair, str]] = []
        kept: set[Names] = set()
        self._marks = {}
        self._complete.clear()
        for server in snapshot.servers.values():
            yield
            try:
                marks = _marks(server, without)
            except Missing:
                self._silent = server.name
                kept.add(server.names)
                continue
            for account, mark in marks.items():
                pair = (server.names, account)
                self._marks[pair] = mark
                servers[account].append(server.names)
                if age := self._age(pair, mark):
                    wanted.append((age + preferred.get(account, 0.0), pair, server.id))
        self._servers = dict(servers)
        for pair in [one for one in self._readings if one not in self._marks]:
            if pair[0] not in kept:
                self._kept -= len(self._readings.pop(pair).instances)
        oldest = heapq.nlargest(AT_ONCE, wanted, key=itemgetter(0))
        self._wanted = {pair for _, pair, _ in oldest}
        return [AccountOn(pair[0], server_id, pair[1]) for _, pair, server_id in oldest]

    def take(self, on: AccountOn, rows: Iterable[Host]) -> bool:
        """Add what was read of one account on one server; False if that is more than is kept."""
        pair, found = (on.key, on.account), tuple(instances(on, rows))
        before = self._readings.get(pair)
        kept = self._kept + len(found) - (len(before.instances) if before else 0)
        if kept > MOST_INSTANCES:
            return False
        self._kept = kept
        self._readings[pair] = _Reading(self.at, self._marks[pair], found)
        return True

    def end(self) -> Generator[None, None, None]:
        """All that this epoch reads was taken."""
        found: dict[Names, dict[str, Instance]] = defaultdict(dict)
        for (_, account), reading in self._readings.items():
            if not reading.instances:
                continue
            yield
            for one in reading.instances:
                by_id = found[account, one.service]
                # The interest of a leaf node is not the instance itself.
                if one.id not in by_id or one.lang:
                    by_id[one.id] = one
        self._instances = dict(found)
        for names, by_id in found.items():
            seen = self.seen.get(names)
            if seen is None and len(self.seen) >= MOST:
                continue
            new = seen is None or abs(self.at - seen.last) >= LAPSE
            since = self.at if seen is None or new else seen.since
            on = sorted({one.server for one in by_id.values()})[:_NAMED]
            self.seen[names] = Seen(since, self.at, len(by_id), on)
        for names in [one for one, seen in self.seen.items() if self._forgotten(seen)]:
            del self.seen[names]

    def instances(self, names: Names) -> list[Instance]:
        """The instances of a service, as far as they are known; Missing if some are not."""
        if names[0] not in self._complete:  # There may be many services in an account.
            self._need(names[0], -inf)
            self._complete.add(names[0])
        return list(self._instances.get(names, {}).values())

    def absent(self, names: Names) -> float:
        """Seconds for which a service has no instance; Missing if it may have one unseen."""
        seen = self.seen[names]
        if seen.last < self.at:
            self._need(names[0], seen.last)
        return self.at - seen.last

    def _need(self, account: str, after: float) -> None:
        """Missing if a server that may have clients of an account was not read since."""
        if self._silent:
            raise Missing("STATZ", self._silent)
        for server in self._servers.get(account, ()):
            pair = (server, account)
            reading = self._readings.get(pair)
            if reading is None or (reading.at <= after and reading.mark != self._marks[pair]):
                if pair in self._wanted:
                    raise Missing("CONNZ_SERVICES", server[-1])
                raise TooSoon("CONNZ_SERVICES", server[-1], "more epochs to read all accounts")

    def _age(self, pair: Pair, mark: Mark) -> float:
        """Seconds since it was read, NEVER if it was not, 0 if it need not be read again."""
        reading = self._readings.get(pair)
        if reading is None:
            return NEVER
        age = self.at - reading.at
        return age if reading.mark != mark or not 0 <= age < STALE else 0.0

    def _forgotten(self, seen: Seen) -> bool:
        return abs(self.at - seen.last) >= REMEMBERED  # The clock may be set back.


def _marks(server: Server, without: Collection[str]) -> dict[str, Mark]:
    """For each account with clients: figures of which one changes with its services."""
    accepted = server.varz.total_connections
    return {
        one.acc: (one.total_conns, one.num_subscriptions, accepted)
        for one in server.reply(STATZ).account_statz or ()
        if one.total_conns and one.acc not in without
    }


def instances(on: AccountOn, rows: Iterable[Host]) -> Iterator[Instance]:
    """The instances that the subscriptions of these connections name."""
    for row in rows:
        library = (row.lang, row.version) if row.kind != "Leafnode" else ("", "")
        for subject in row.subjects or ():
            if not subject.startswith(INSTANCE) or len(subject) > _LONGEST:
                continue
            service, _, id = subject.removeprefix(INSTANCE).partition(".")
            # Without an id all instances are meant; a wildcard is a client that asks them.
            if id and not {"*", ">"} & {service, *id.split(".")}:
                yield Instance(service, id, on.key[-1], *library)
