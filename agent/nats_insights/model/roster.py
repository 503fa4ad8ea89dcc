"""The roster: which servers there are, from who answered, who announced an end, and who did not.

Nobody has to tell the agent how many servers to expect. A server enters the roster when it answers,
or when a peer names it, and it is known by (cluster, name): its id changes with each start, and a
leaf may bear the name of a server of the hub.

    answering   it replied in this epoch
    hung        it takes requests and does not reply, or nobody takes them but a peer names it: we
                do not reach it, and do not know what became of it
    dead        nobody takes requests for it, and no peer names it
    left        it said goodbye, and has not replied since

A dead server leaves the means of its cluster after CONFIRMED epochs. What it held stays part of
every sum, at its last known figures, until it is `gone`: `gone_after` seconds later. Where half of
the known servers or more are dead at once, it is more likely the agent that is cut off: none of
them is given up, and nothing is known of the system.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from msgspec import Struct

from nats_insights.facts import Names
from nats_insights.replies.fields import ServerInfo
from nats_insights.replies.heard import Expected, Heard

State = Literal["answering", "hung", "dead", "left"]
# Each outsider can name servers by its heartbeats, so their number has a bound.
MOST = 20_000
CONFIRMED = 2


class Entry(Struct, kw_only=True, gc=False):
    """One server of the roster. Times are Unix seconds of the agent's clock.

    `silent` counts the epochs in a row in which it was dead, `silent_since` and `dead_since` are
    when it first did not answer and was first found dead, and `gone` says that it was given up.
    `goodbye` is what it announced last, and `goodbye_at` when.
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
    changed_at: float = 0.0
    last_error: str = ""

    @property
    def key(self) -> Names:
        return (self.cluster, self.name)

    @property
    def belongs(self) -> bool:
        """Whether what it holds, or held last, is part of every sum."""
        return self.state != "left" and not self.gone

    @property
    def counts(self) -> bool:
        """Whether it is a member of its cluster, so that it is part of every mean."""
        return self.belongs and not (self.state == "dead" and self.silent >= CONFIRMED)


class Roster:
    """All servers known, by (cluster, name) and by id.

    `cut_off` names the servers by whose silence the agent takes itself to be cut off, `forgotten`
    are the keys of those that were taken out by hand.
    """

    def __init__(self, forget_after: float = 86_400.0, gone_after: float = 120.0) -> None:
        self.forget_after = forget_after
        self.gone_after = gone_after
        self.overflow = 0
        self.cut_off: list[str] = []
        self.forgotten: set[Names] = set()
        self._entries: dict[Names, Entry] = {}
        self._by_id: dict[str, Entry] = {}
        self._told: dict[Names, State] = {}

    def __iter__(self) -> Iterator[Entry]:
        # A copy: entries may come and go while somebody walks through them in steps.
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
        """Who should answer the next requests."""
        return Expected(
            answering=frozenset([entry.id for entry in self if entry.state == "answering"]),
            belonging=frozenset([entry.id for entry in self if entry.belongs and entry.id]),
            keys={entry.id: entry.key for entry in self},
        )

    def take(self, heard: Heard, now: float) -> None:
        """Who answered an epoch's requests, and what became of those that did not."""
        for info in heard.infos.values():
            self.heard(info, now, heard.infos.keys())
        for info in heard.named.values():
            self.meet(info, now, heard.infos.keys())
        for server_id, silence in heard.silent.items():
            self.unheard(server_id, silence.state, now, silence.why)
        for server_id, why in heard.errors.items():
            if (entry := self.by_id(server_id)) is not None:
                entry.last_error = why
        self.close(now)
        self.forget(now)

    def known(self) -> list[Entry]:
        """Servers that belong to the system, silent and dead ones included."""
        return [entry for entry in self if entry.state != "left"]

    def missing(self) -> list[str]:
        """Names of the known servers that did not answer, in order."""
        return sorted(entry.name for entry in self.known() if entry.state != "answering")

    def news(self) -> list[str]:
        """What changed since this was asked last, a sentence for each server, in order."""
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
        """How many of the servers that somebody expects are not known, and which, where named.

        Names are "n1", or "EU/n1" for one of a cluster.
        """
        known = self.known()
        if isinstance(expected, int):
            return max(0, expected - len(known)), []
        names = {name for one in known for name in (one.name, f"{one.cluster}/{one.name}")}
        absent = sorted(set(expected) - names)
        return len(absent), absent

    def meet(self, info: ServerInfo, now: float, others: Collection[str] = ()) -> Entry | None:
        """Take in a server that was heard or named; None when the roster is full.

        A known name under a new id is a restart, unless the old id is among `others`, the ids that
        answer too: then two servers share one name, and the newcomer's id is added to its own.
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
        """This server answered a request that was sent at `now` or later."""
        entry = self.meet(info, now, others)
        if entry is None:
            return
        if entry.state in ("dead", "left"):
            entry.changed_at = now
        entry.state, entry.silent, entry.last_seen, entry.last_error = "answering", 0, now, ""
        entry.silent_since = entry.dead_since = None
        entry.gone = False
        if entry.goodbye == "shutdown" and entry.goodbye_at < now:
            entry.goodbye = ""  # It answers after its end: somebody else said so in its name.
        entry.version = info.ver or entry.version

    def unheard(
        self, server_id: str, state: Literal["hung", "dead"], now: float, error: str = ""
    ) -> None:
        """This server did not answer, not even when it was asked by its id."""
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
        """It announced its end: a SHUTDOWN, or lame duck mode, in which it still answers.

        Whoever may send requests can have a server publish such an event in any name, so it ends
        nobody: who does not answer after it has left.
        """
        entry = self._by_id.get(server_id)
        if entry is None:
            return
        if not gone and not entry.goodbye:
            entry.changed_at = now  # Its clients move from now on.
        entry.goodbye, entry.goodbye_at = "shutdown" if gone else "lame duck", now

    def close(self, now: float) -> None:
        """All servers were asked: who is dead for too long is given up, unless it may be we."""
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
        """Know the servers that another process knew."""
        for entry in entries:
            self._entries[entry.key] = entry
            self._by_id[entry.id] = entry
            self._told[entry.key] = entry.state

    def forget(self, now: float) -> None:
        """Drop the servers that left or were given up, `forget_after` seconds after they spoke."""
        for entry in self:
            if not entry.belongs and now - entry.last_seen >= self.forget_after:
                self._drop(entry)

    def remove(self, entry: Entry) -> None:
        """Drop a server that is gone for good, by hand."""
        self._drop(entry)
        self.forgotten.add(entry.key)

    def _drop(self, entry: Entry) -> None:
        self._entries.pop(entry.key, None)
        if self._by_id.get(entry.id) is entry:
            del self._by_id[entry.id]


def _called(key: Names) -> str:
    cluster, name = key
    return f"{name} ({cluster})" if cluster else name
