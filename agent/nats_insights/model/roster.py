"""The roster: the known servers and their states, from replies, events and missing replies.

The number of servers need not be configured. A server is added to the roster when it replies, or
when a peer names it. Its key is (cluster, name): its id changes with each start, and a leaf node
may have the same name as a server of the hub.

    answering   it replied in this epoch
    hung        it receives requests and does not reply, or requests to it have no responders but a
                peer names it: the agent cannot reach it, and its state is not known
    dead        requests to it have no responders, and no peer names it
    left        it published SHUTDOWN or LAMEDUCK, and has not replied since

A dead server is removed from the means of its cluster after CONFIRMED epochs. Its last known
figures stay part of every sum until it is `gone`: `gone_after` seconds later. If half of the known
servers or more are dead at once, it is more likely that the agent is disconnected from them: none
of them is set to `gone`, and nothing is known of the system.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from math import inf
from typing import Literal

from msgspec import Struct

from nats_insights.facts import Names
from nats_insights.replies.fields import ServerInfo
from nats_insights.replies.heard import Expected, Heard

State = Literal["answering", "hung", "dead", "left"]
# Heartbeats published by any client can name servers, so their number has a bound.
MOST = 20_000
CONFIRMED = 2


class Entry(Struct, kw_only=True, gc=False):
    """One server of the roster. Times are Unix seconds of the agent's clock.

    `silent` counts the epochs in a row in which it was dead. `silent_since` and `dead_since` are
    when it first did not reply and was first found dead. `gone` says that it was dead for
    `gone_after` seconds. `goodbye` is the last event that it published, and `goodbye_at` when.

    `process` is the id of the process that replied last, `ran` its version, and `before` the id of
    the one that had replied before it, last at `before_at`. That one `crashed` if it ended without
    an event that the agent would have heard, and is not replaced by another version; `last_words`
    is that event. If it replies again, two servers have taken turns in one name, last at
    `shared_at`. The process has `hosted` the agent if that was connected to it.
    """

    cluster: str
    name: str
    id: str
    version: str = ""
    state: State = "answering"
    first_seen: float
    last_seen: float
    silent: int = 0
    silent_since: float | None = None
    dead_since: float | None = None
    gone: bool = False
    goodbye: Literal["", "lame duck", "shutdown"] = ""
    goodbye_at: float = 0.0
    process: str = ""
    ran: str = ""
    before: str = ""
    before_at: float = 0.0
    last_words: str = ""
    crashed: bool = False
    hosted: bool = False
    shared_at: float | None = None
    changed_at: float = 0.0
    last_error: str = ""

    @property
    def key(self) -> Names:
        return (self.cluster, self.name)

    @property
    def belongs(self) -> bool:
        """Whether its figures, or its last known ones, are part of every sum."""
        return self.state != "left" and not self.gone

    @property
    def counts(self) -> bool:
        """Whether it is a member of its cluster, so that it is part of every mean."""
        return self.belongs and not (self.state == "dead" and self.silent >= CONFIRMED)


class Roster:
    """All servers known, by (cluster, name) and by id.

    `cut_off` names the dead servers because of which the agent considers itself disconnected,
    `forgotten` are the keys of servers that were removed by hand. `listens_since` is the Unix
    second since which it hears events without a break, infinite if it hears none. `apart` says
    whether other servers reach one that the agent does not, as of the last epoch.
    """

    def __init__(self, forget_after: float = 86_400.0, gone_after: float = 120.0) -> None:
        self.forget_after = forget_after
        self.gone_after = gone_after
        self.overflow = 0
        self.listens_since = inf
        self.cut_off: list[str] = []
        self.apart = False
        self.forgotten: set[Names] = set()
        self._entries: dict[Names, Entry] = {}
        self._by_id: dict[str, Entry] = {}
        self._told: dict[Names, State] = {}

    def __iter__(self) -> Iterator[Entry]:
        # A copy: entries may be added and removed during an iteration in steps.
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def by_id(self, server_id: str) -> Entry | None:
        """The server that has this id now."""
        return self._by_id.get(server_id)

    def at(self, key: Names) -> Entry | None:
        """The server of this cluster and name."""
        return self._entries.get(key)

    def by_name(self, name: str, cluster: str | None = None) -> list[Entry]:
        """The servers of this name; where a cluster is given, "" for none, only those in it."""
        return [e for e in self if e.name == name and cluster in (None, e.cluster)]

    def expected(self) -> Expected:
        """The servers that should reply to the next requests."""
        return Expected(
            answering=frozenset([entry.id for entry in self if entry.state == "answering"]),
            belonging=frozenset([entry.id for entry in self if entry.belongs and entry.id]),
            keys={entry.id: entry.key for entry in self},
        )

    def take(self, heard: Heard, now: float) -> None:
        """Update from one epoch: the servers that replied, and the states of those that did not."""
        for info in heard.infos.values():
            self.heard(info, now, heard.infos.keys())
        if (host := self.by_id(heard.own)) is not None:
            host.hosted = True
        for info in heard.named.values():
            self.meet(info, now, heard.infos.keys())
        self.apart = any(silence.linked for silence in heard.silent.values())
        for server_id, silence in heard.silent.items():
            self.unheard(server_id, silence.state, now, silence.why)
        for server_id, why in heard.errors.items():
            if (entry := self.by_id(server_id)) is not None:
                entry.last_error = why
        self.close(now)
        self.forget(now)

    def known(self) -> list[Entry]:
        """Servers that belong to the system, hung and dead ones included."""
        return [entry for entry in self if entry.state != "left"]

    def missing(self) -> list[str]:
        """Names of the known servers that did not reply, in order."""
        return sorted(entry.name for entry in self.known() if entry.state != "answering")

    def news(self) -> list[str]:
        """What changed since the last call, a sentence for each server, in order."""
        now = {entry.key: entry.state for entry in self}
        lines = []
        for key in sorted(now.keys() | self._told.keys()):
            before, after = self._told.get(key), now.get(key)
            if before != after and (before, after) != (None, "left"):
                lines.append(f"server {_called(key)} {self._became(key, before, after)}")
        self._told = now
        return lines

    def _became(self, key: Names, before: State | None, after: State | None) -> str:
        if after is None:
            return "is forgotten"
        if after == "left":
            return "left"
        if after == "answering":
            return "joined" if before is None else "answers again"
        return f"does not answer ({after}): {self._entries[key].last_error}"

    def never_seen(self, expected: int | Collection[str]) -> tuple[int, list[str]]:
        """How many of the expected servers are not known, and which, if they are given by name.

        Names are "n1", or "EU/n1" for one of a cluster.
        """
        known = self.known()
        if isinstance(expected, int):
            return max(0, expected - len(known)), []
        names = {name for one in known for name in (one.name, f"{one.cluster}/{one.name}")}
        absent = sorted(set(expected) - names)
        return len(absent), absent

    def meet(self, info: ServerInfo, now: float, others: Collection[str] = ()) -> Entry | None:
        """Add a server that replied or was named by a peer; None if the roster is full.

        A known name with a new id is a restart, unless the old id is among `others`, the ids that
        reply too: then two servers have the same name, and the new one's id is added to its name.
        """
        entry = self._by_id.get(info.id)
        if entry is not None:
            return entry
        name = info.name or info.id
        entry = self._entries.get((info.cluster, name))
        if entry is not None and entry.id in others:
            name = f"{name}#{info.id[:8]}"
            entry = self._entries.get((info.cluster, name))
        if entry is not None:
            self._by_id.pop(entry.id, None)
            entry.last_words = entry.goodbye
            entry.id, entry.version, entry.goodbye, entry.changed_at = info.id, info.ver, "", now
        elif len(self._entries) >= MOST:
            self.overflow += 1
            return None
        else:
            entry = Entry(
                cluster=info.cluster,
                name=name,
                id=info.id,
                version=info.ver,
                first_seen=now,
                last_seen=now,
            )
            self._entries[entry.key] = entry
            self.forgotten.discard(entry.key)
        self._by_id[info.id] = entry
        return entry

    def heard(self, info: ServerInfo, now: float, others: Collection[str] = ()) -> None:
        """This server replied to a request that was sent at `now` or later."""
        entry = self.meet(info, now, others)
        if entry is None:
            return
        if entry.process != info.id:
            self._replaced(entry, info, now)
        if entry.state in ("dead", "left"):
            entry.changed_at = now
        entry.state, entry.silent, entry.last_seen, entry.last_error = "answering", 0, now, ""
        entry.silent_since = entry.dead_since = None
        entry.gone = False
        if entry.goodbye == "shutdown" and entry.goodbye_at < now:
            entry.goodbye = ""  # It still replies: the SHUTDOWN was not its own.
        entry.version = info.ver or entry.version

    def _replaced(self, entry: Entry, info: ServerInfo, now: float) -> None:
        """Another process replies than before; how did that one end?

        The end of the server that the agent is connected to is announced before the connection
        closes; that of another one may be missed until the agent has connected again.
        """
        takes_turns = bool(entry.before) and info.id == entry.before
        hosted = entry.hosted and self.listens_since < inf
        heard_all = hosted or self.listens_since <= entry.last_seen
        silent = heard_all and not entry.last_words and info.ver == entry.ran
        entry.crashed = bool(entry.process) and silent and not takes_turns
        entry.shared_at = now if takes_turns else entry.shared_at
        entry.before, entry.before_at = entry.process, entry.last_seen
        entry.process, entry.ran = info.id, info.ver
        entry.hosted = False

    def unheard(
        self, server_id: str, state: Literal["hung", "dead"], now: float, error: str = ""
    ) -> None:
        """This server did not reply, not even to a request to its id."""
        entry = self._by_id.get(server_id)
        if entry is None:
            return
        left = state == "dead" and (entry.goodbye or entry.state == "left")
        now_it_is: State = "left" if left else state
        if now_it_is != entry.state and state == "dead":
            entry.changed_at = now
        entry.state, entry.last_error = now_it_is, error
        if entry.silent_since is None:
            entry.silent_since = now
        if now_it_is == "dead":
            entry.silent += 1
            entry.dead_since = now if entry.dead_since is None else entry.dead_since
        else:
            entry.silent, entry.dead_since = 0, None

    def goodbye(self, server_id: str, now: float, *, gone: bool) -> None:
        """Record a SHUTDOWN event (`gone`) or a LAMEDUCK event, after which it still replies.

        Any client that may send requests can make a server publish such an event for any id. The
        event alone removes no server: one that does not reply after it has left.
        """
        entry = self._by_id.get(server_id)
        if entry is None:
            return
        if not gone and not entry.goodbye:
            entry.changed_at = now  # Its clients move from now on.
        entry.goodbye, entry.goodbye_at = "shutdown" if gone else "lame duck", now

    def close(self, now: float) -> None:
        """End an epoch: servers dead for too long are gone, unless the agent is disconnected."""
        members = [entry for entry in self if entry.belongs]
        dead = [entry for entry in members if entry.state == "dead"]
        lately = [entry for entry in dead if now - entry.last_seen < self.forget_after]
        cut_off = 2 * len(lately) >= len(members)
        self.cut_off = sorted(entry.name for entry in lately) if cut_off else []
        for entry in dead:
            if cut_off:
                entry.silent, entry.dead_since = 1, now
            elif entry.dead_since is not None and now - entry.dead_since >= self.gone_after:
                entry.gone = True

    def restore(self, entries: Iterable[Entry]) -> None:
        """Add the servers that an earlier process knew."""
        for entry in entries:
            self._entries[entry.key] = entry
            self._by_id[entry.id] = entry
            self._told[entry.key] = entry.state

    def adopt(self, entries: Iterable[Entry]) -> None:
        """Replace all servers by those that another agent knows; goodbyes heard here are kept."""
        before = self._by_id
        self._entries, self._by_id, self._told = {}, {}, {}
        for entry in itertools.islice(entries, MOST):
            if (known := before.get(entry.id)) is not None:
                entry.goodbye, entry.goodbye_at = known.goodbye, known.goodbye_at
            self._entries[entry.key] = entry
            self._by_id[entry.id] = entry
            self._told[entry.key] = entry.state

    def seen(self, now: float) -> None:
        """Another agent heard all that answered last, at `now`."""
        for entry in self._entries.values():
            if entry.state == "answering":
                entry.last_seen = now

    def forget(self, now: float) -> None:
        """Drop the servers that left or are gone, `forget_after` seconds after their last reply."""
        for entry in self:
            if not entry.belongs and now - entry.last_seen >= self.forget_after:
                self._drop(entry)

    def remove(self, entry: Entry) -> None:
        """Remove a server by hand."""
        self._drop(entry)
        self.forgotten.add(entry.key)

    def _drop(self, entry: Entry) -> None:
        self._entries.pop(entry.key, None)
        if self._by_id.get(entry.id) is entry:
            del self._by_id[entry.id]


def _called(key: Names) -> str:
    cluster, name = key
    return f"{name} ({cluster})" if cluster else name
