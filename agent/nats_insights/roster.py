"""The roster: which servers there are, from who answered, who announced an end, and who did not.

Nobody tells the agent how many servers to expect. A server enters the roster when it answers, when
its heartbeat is heard, or when a peer's ROUTEZ names it, and it is known by (cluster, name): its id
changes with each start, and a leaf may bear the name of a server of the hub.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from .wire import ServerInfo

Names = tuple[str, ...]
State = Literal["answering", "hung", "dead", "left"]
# Each outsider can name servers by its heartbeats, so their number has a bound.
MOST = 20_000
CONFIRMED = 2


class Entry(Struct, kw_only=True, gc=False):
    """One server of the roster. Times are Unix seconds of the agent's clock.

    `hung` means that it takes requests and does not answer, `dead` that nobody takes them, and
    `left` that it said goodbye first. `silent` counts the epochs in a row in which it was dead.
    """

    cluster: str
    name: str
    id: str
    version: str = ""
    state: State = "answering"
    first_seen: float
    last_seen: float
    silent: int = 0
    leaving: bool = False
    changed_at: float = float("-inf")
    last_error: str = ""

    @property
    def key(self) -> Names:
        return (self.cluster, self.name)

    @property
    def counts(self) -> bool:
        """Whether it is a member of its cluster, so that what it holds is part of every sum."""
        return self.state != "left" and not (self.state == "dead" and self.silent >= CONFIRMED)


class Roster:
    """All servers known, by (cluster, name) and by id."""

    def __init__(self, forget_after: float = 86_400.0) -> None:
        self.forget_after = forget_after
        self.overflow = 0
        self._entries: dict[Names, Entry] = {}
        self._by_id: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def by_id(self, server_id: str) -> Entry | None:
        """The server that has this id now."""
        return self._by_id.get(server_id)

    def expected(self) -> set[str]:
        """Ids of the servers that should answer, or that might again."""
        return {entry.id for entry in self if entry.counts and entry.id}

    def known(self) -> list[Entry]:
        """Servers that belong to the system, silent and dead ones included."""
        return [entry for entry in self if entry.state != "left"]

    def missing(self) -> list[str]:
        """Names of the known servers that did not answer, in order."""
        return sorted(entry.name for entry in self.known() if entry.state != "answering")

    def meet(self, info: ServerInfo, now: float, others: Iterable[str] = ()) -> Entry | None:
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
            entry.id, entry.version, entry.leaving, entry.changed_at = info.id, info.ver, False, now
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
        self._by_id[info.id] = entry
        return entry

    def heard(self, info: ServerInfo, now: float, others: Iterable[str] = ()) -> None:
        """This server answered."""
        entry = self.meet(info, now, others)
        if entry is None:
            return
        if entry.state in ("dead", "left"):
            entry.changed_at = now
        entry.state, entry.silent, entry.last_seen, entry.last_error = "answering", 0, now, ""
        entry.version = info.ver or entry.version

    def unheard(self, server_id: str, state: State, now: float, error: str = "") -> None:
        """This server did not answer, not even when it was asked by its id."""
        entry = self._by_id.get(server_id)
        if entry is None:
            return
        if state == "dead" and entry.leaving:
            state = "left"
        if state != entry.state and state in ("dead", "left"):
            entry.changed_at = now
        entry.silent = entry.silent + 1 if state == "dead" else 0
        entry.state, entry.last_error = state, error

    def goodbye(self, server_id: str, now: float, *, gone: bool) -> None:
        """It announced its end: by SHUTDOWN it is gone, in lame duck mode it still answers."""
        entry = self._by_id.get(server_id)
        if entry is None:
            return
        entry.leaving, entry.changed_at = True, now
        if gone:
            entry.state, entry.silent = "left", 0

    def forget(self, now: float) -> None:
        """Drop the servers that have been gone for `forget_after` seconds."""
        for entry in list(self):
            if not entry.counts and now - entry.last_seen >= self.forget_after:
                del self._entries[entry.key]
                self._by_id.pop(entry.id, None)
