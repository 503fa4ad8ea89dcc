"""One server as the roster knows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nats_insights.facts import Names
from nats_insights.model.nouns.noun import ROLL_CALL, Noun
from nats_insights.model.roster import Entry

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Member(Noun):
    """One server as the roster knows it, hung, dead and gone servers included."""

    __slots__ = ("entry",)
    kind, scope, depends_on = "server", "SERVER", ROLL_CALL
    labelled = ("cluster", "server")

    def __init__(self, entry: Entry, snapshot: Snapshot) -> None:
        self.entry, self.names, self.snapshot = entry, entry.key, snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Member]:
        return (cls(entry, snapshot) for entry in snapshot.members)

    @property
    def home(self) -> str:
        return self.entry.cluster

    @property
    def rests_on(self) -> Names:
        return self.names

    @property
    def silent_for(self) -> float:
        """Seconds since it first did not reply, 0 while it does."""
        since = self.entry.silent_since
        return 0.0 if since is None else self.snapshot.now - since

    @property
    def last_seen(self) -> float:
        """Seconds since its last reply."""
        return self.snapshot.now - self.entry.last_seen

    def labels(self) -> dict[str, str]:
        return {"server": self.entry.name, "cluster": self.entry.cluster}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.entry.id}
