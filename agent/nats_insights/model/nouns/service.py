"""Micro services of accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nats_insights.facts import Names
from nats_insights.model.nouns.noun import ROLL_CALL, Noun
from nats_insights.model.services import Instance, Seen

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Service(Noun):
    """One micro service of one account, until a day after its last instance.

    Its figures raise Missing by themselves where a server that was not read may have an instance.
    """

    __slots__ = ()
    kind, scope, depends_on = "service", "ACCOUNT", ROLL_CALL
    across = True
    labelled = ("account", "service")
    when_gone = "service {service} of account {account} had no instance for a day"

    def __init__(self, names: Names, snapshot: Snapshot) -> None:
        self.names, self.snapshot = names, snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Service]:
        return (cls(names, snapshot) for names in snapshot.services.seen)

    @classmethod
    def find(cls, snapshot: Snapshot, names: Names) -> Service | None:
        return cls(names, snapshot) if names in snapshot.services.seen else None

    @property
    def remembered(self) -> Seen:
        """When it had instances, and what was last known of them."""
        return self.snapshot.services.seen[self.names]

    @property
    def instances(self) -> list[Instance]:
        """Its instances on all servers, or Missing."""
        return self.snapshot.services.instances(self.names)

    @property
    def absent(self) -> float:
        """Seconds for which it has no instance, 0 if it has one; Missing if one may be unseen."""
        return self.snapshot.services.absent(self.names)

    def labels(self) -> dict[str, str]:
        return {"account": self.names[0], "service": self.names[1]}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.names[1]}
