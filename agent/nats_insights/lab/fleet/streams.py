"""Streams and consumers of a simulated fleet, and what can go wrong with them."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.lab.fleet.model import Cluster, Server

# A consumer that leaves so many messages waiting has been made to.
_MANY = 100


class Asset(Struct, kw_only=True, eq=False):
    """What a RAFT group of servers of one cluster replicates.

    Its first server leads it, or the next one that runs, if more than half of them do. `created`
    in Unix seconds.
    """

    name: str
    group: str
    servers: tuple[Server, ...]
    created: int
    leaderless: bool = False

    @property
    def leader(self) -> Server | None:
        running = [server for server in self.servers if server.running]
        if self.leaderless or 2 * len(running) <= len(self.servers):
            return None
        return running[0]

    @property
    def replicated(self) -> bool:
        return len(self.servers) > 1

    def lose_leader(self) -> None:
        """From now on nobody leads it, although all its servers may run."""
        self.leaderless = True
        self.servers[0].cluster.reassigned()


class Consumer(Asset, kw_only=True):
    """A durable consumer: the stream sequences that it delivered, and that were acknowledged."""

    delivered: int
    acknowledged: int
    max_ack_pending: int = 1000

    @property
    def ack_pending(self) -> int:
        return self.delivered - self.acknowledged

    def leave_unacknowledged(self, count: int) -> None:
        """From now on so many of the messages that it delivered are not acknowledged."""
        self.acknowledged = max(0, self.delivered - count)
        self.servers[0].cluster.reassigned()


class Stream(Asset, kw_only=True):
    """A stream with the sequences that it holds; `behind` is what the replicas of some servers, by
    name, lack of them. All consumers hold messages up to `last` only."""

    account: str
    owner: str
    first: int
    last: int
    message_bytes: int
    subjects: int
    consumers: list[Consumer]
    behind: dict[str, int] = {}

    def last_on(self, server: Server) -> int:
        """The last sequence that the replica of one of its servers has."""
        return self.last - self.behind.get(server.name, 0)

    def messages_on(self, server: Server) -> int:
        return max(0, self.last_on(server) - self.first + 1)

    def bytes_on(self, server: Server) -> int:
        return self.messages_on(server) * self.message_bytes

    @property
    def well(self) -> bool:
        """Whether nothing happened to it: what its consumers left waiting is little."""
        assets: tuple[Asset, ...] = (self, *self.consumers)
        waiting = max(one.ack_pending for one in self.consumers)
        return not self.behind and not any(one.leaderless for one in assets) and waiting < _MANY

    def recover(self) -> None:
        """All is well with it from now on; who dropped the replies as they were has the others."""
        self.behind.clear()
        self.leaderless = False
        for consumer in self.consumers:
            consumer.leaderless, consumer.acknowledged = False, consumer.delivered

    def fall_behind(self, server: Server, messages: int) -> None:
        """From now on the replica of this server lacks the last so many messages."""
        self.behind[server.name] = min(messages, self.last)
        server.cluster.reassigned()


def place(cluster: Cluster, stream: Stream) -> None:
    """Gives a stream to its servers, which keep it when they die."""
    cluster.streams.append(stream)
    for server in stream.servers:
        server.streams.append(stream)
