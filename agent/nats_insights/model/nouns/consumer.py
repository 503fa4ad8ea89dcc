"""Consumers, as their leaders report them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model import streams
from nats_insights.model.nouns.noun import ITS_CLUSTER, Noun
from nats_insights.model.nouns.stream import Placed
from nats_insights.replies import jsz

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Consumer(Placed, Noun):
    """One consumer. `rows` has the report of each server that leads it or knows no leader."""

    __slots__ = ("rows",)
    kind, scope, depends_on = "consumer", "ACCOUNT", ITS_CLUSTER
    labelled = ("account", "stream", "cluster", "consumer")
    when_gone = "consumer {consumer} of stream {stream} is gone"

    def __init__(self, names: Names, rows: Mapping[str, jsz.Consumer], snapshot: Snapshot) -> None:
        self.names, self.rows, self.snapshot = names, rows, snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Consumer]:
        for names in snapshot.streams:
            yield from cls.of(snapshot, names)

    @classmethod
    def of(cls, snapshot: Snapshot, stream: Names) -> Iterable[Consumer]:
        """The consumers of one stream, by the stream's names."""
        rows: dict[str, dict[str, jsz.Consumer]] = {}
        for server, row in snapshot.streams.get(stream, {}).items():
            for told in row.consumer_detail or ():
                rows.setdefault(told.name, {})[server] = told
        for name, by_server in rows.items():
            yield cls((*stream, name), by_server, snapshot)

    @classmethod
    def find(cls, snapshot: Snapshot, names: Names) -> Consumer | None:
        consumers = cls.of(snapshot, names[:3])
        return next((one for one in consumers if one.names == names), None)

    @classmethod
    def unseen(cls, snapshot: Snapshot, names: Names) -> str:
        if cls.find(snapshot, names) is not None:
            return ""
        # Servers report its group even while each of them names another one as its leader.
        rows = snapshot.streams.get(names[:3], {}).values()
        groups = (group.name for row in rows for group in row.consumer_raft_groups or ())
        return f"the leader of consumer {names[3]}" if names[3] in groups else ""

    @property
    def leader(self) -> str:
        """The server that reports itself as its leader, "" if none does."""
        return streams.leader({name: row.cluster for name, row in self.rows.items()})

    @property
    def told(self) -> jsz.Consumer:
        """What its leader reports of it; Missing if no server reports itself as leader."""
        if leader := self.leader:
            return self.rows[leader]
        raise Missing("the leader", f"consumer {self.names[3]}")

    @property
    def metadata(self) -> Mapping[str, str]:
        # Each member of its group knows its configuration.
        config = next(iter(self.rows.values())).config
        return (config and config.metadata) or {}

    def labels(self) -> dict[str, str]:
        account, stream, _, consumer = self.names
        return {"account": account, "stream": stream, "cluster": self.home, "consumer": consumer}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.names[3]}
