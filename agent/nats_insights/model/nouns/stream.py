"""Streams, and their replicas as their leaders report them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model import streams
from nats_insights.model.nouns.noun import ITS_CLUSTER, Noun
from nats_insights.replies import jsz
from nats_insights.replies.jetstream import Peer

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Placed:
    """A stream or a part of one: its names begin with the stream's account, name and place.

    The place is a cluster, or a server that is in none. A stream of the same name may be in another
    place: clusters that share an account need not share its streams.
    """

    __slots__ = ()
    place: ClassVar[int | None] = 2
    names: Names
    snapshot: Snapshot

    @property
    def home(self) -> str:
        """The name of the cluster, "" if it is on a server that is in none."""
        return self.names[2] if self.names[2] in self.snapshot.clusters else ""

    @property
    def rests_on(self) -> Names:
        """The server that is in no cluster, () if there is a cluster."""
        return () if self.home else ("", self.names[2])


class Stream(Placed, Noun):
    """One stream. `rows` is what each server with a replica reported, by the server's name."""

    __slots__ = ("rows",)
    kind, scope, depends_on = "stream", "ACCOUNT", ITS_CLUSTER
    labelled = ("account", "stream", "cluster")
    when_gone = "stream {stream} of account {account} is gone"

    def __init__(self, names: Names, rows: streams.Rows, snapshot: Snapshot) -> None:
        self.names, self.rows, self.snapshot = names, rows, snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Stream]:
        return (cls(names, rows, snapshot) for names, rows in snapshot.streams.items())

    @classmethod
    def find(cls, snapshot: Snapshot, names: Names) -> Stream | None:
        rows = snapshot.streams.get(names)
        return None if rows is None else cls(names, rows, snapshot)

    @property
    def leader(self) -> str:
        """The server that reports itself as its leader, "" if none does."""
        return streams.leader({name: row.cluster for name, row in self.rows.items()})

    @property
    def told(self) -> jsz.Stream:
        """What its leader reports of it; Missing if no server reports itself as leader."""
        if leader := self.leader:
            return self.rows[leader]
        raise Missing("the leader", f"stream {self.names[1]}")

    @property
    def metadata(self) -> Mapping[str, str]:
        return _metadata(self.told)

    def labels(self) -> dict[str, str]:
        return {"account": self.names[0], "stream": self.names[1], "cluster": self.home}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.names[1], "name": self.names[1]}


class StreamReplica(Placed, Noun):
    """One replica of a stream, as its leader reports it, the leader's own included.

    `told` is what the leader reports of the stream, and `peer` what it reports of the replica:
    `lag` is how many operations it is behind.
    """

    __slots__ = ("peer", "stream", "told")
    kind, scope, depends_on = "stream_replica", "ACCOUNT", ITS_CLUSTER
    labelled = ("account", "stream", "cluster", "server")
    when_gone = "stream {stream} of account {account} has no replica on {server} any more"

    def __init__(self, stream: Stream, told: jsz.Stream, peer: Peer) -> None:
        self.stream, self.told, self.peer = stream, told, peer
        self.snapshot = stream.snapshot
        self.names = (*stream.names, peer.name)

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[StreamReplica]:
        for stream in Stream.all(snapshot):
            yield from cls.of(stream)

    @classmethod
    def of(cls, stream: Stream) -> Iterable[StreamReplica]:
        """The replicas of one stream, none without a leader."""
        leader = stream.leader
        if not leader:
            return
        told = stream.rows[leader]
        yield cls(stream, told, Peer(name=leader, current=True))
        for peer in (told.cluster and told.cluster.replicas) or ():
            yield cls(stream, told, peer)

    @classmethod
    def find(cls, snapshot: Snapshot, names: Names) -> StreamReplica | None:
        stream = Stream.find(snapshot, names[:3])
        replicas = cls.of(stream) if stream else ()
        return next((replica for replica in replicas if replica.names == names), None)

    @classmethod
    def unseen(cls, snapshot: Snapshot, names: Names) -> str:
        # While a stream has no leader, no server reports its replicas.
        stream = Stream.find(snapshot, names[:3])
        return f"the leader of stream {names[1]}" if stream and not stream.leader else ""

    @property
    def server(self) -> Names:
        """The (cluster, name) of the server that it is on."""
        return (self.home, self.names[3])

    @property
    def metadata(self) -> Mapping[str, str]:
        return _metadata(self.told)

    def labels(self) -> dict[str, str]:
        return {**self.stream.labels(), "server": self.names[3]}

    def entity(self) -> dict[str, str]:
        _, stream, _, server = self.names
        return {**super().entity(), "id": stream, "name": f"{stream} on {server}"}


def _metadata(told: jsz.Stream) -> Mapping[str, str]:
    return (told.config and told.config.metadata) or {}
