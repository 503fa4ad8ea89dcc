"""A cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nats_insights.model.nouns.noun import ITS_CLUSTER, Noun

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server
    from nats_insights.model.snapshot import Snapshot


class Cluster(Noun):
    """Servers joined by routes, those that did not reply included."""

    __slots__ = ("name", "servers")
    kind, scope, depends_on = "cluster", "CLUSTER", ITS_CLUSTER
    labelled = ("cluster",)

    def __init__(self, name: str, snapshot: Snapshot) -> None:
        self.name, self.names, self.snapshot = name, (name,), snapshot
        self.servers: list[Server] = []

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Cluster]:
        return snapshot.clusters.values()

    @property
    def home(self) -> str:
        return self.name

    def labels(self) -> dict[str, str]:
        return {"cluster": self.name}
