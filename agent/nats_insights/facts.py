"""Facts about an epoch that many rooms use: coverage, cost, access."""

from __future__ import annotations

import heapq
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

# (cluster, name) of a server, or the stable names of any other entity.
Names = tuple[str, ...]

# Every kind of entity that a finding can be about, and every label that one can have: the
# published schema enumerates them, so a check about another kind is refused where it is declared.
Kind = Literal[
    "server",
    "cluster",
    "account",
    "account_in_cluster",
    "user",
    "stream",
    "stream_replica",
    "consumer",
    "raft_group",
    "meta_group",
    "route",
    "gateway",
    "leaf",
    "listener",
    "import",
    "export",
    "service",
    "system",
    "agent",
]
Scope = Literal["SYSTEM", "CLUSTER", "SERVER", "ACCOUNT"]
KINDS: tuple[str, ...] = get_args(Kind)
SCOPES: tuple[str, ...] = get_args(Scope)
LABELS = (
    "cluster",
    "server",
    "account",
    "user",
    "stream",
    "consumer",
    "group",
    "remote",
    "listener",
    "subject",
    "service",
)


class Expiry(Struct, frozen=True, kw_only=True):
    """What the agent logs in with until `ends`, in Unix seconds; `begins` is 0 if not known."""

    what: str
    ends: float
    begins: float = 0.0


class Coverage(Struct, frozen=True, kw_only=True):
    """How many servers replied in an epoch.

    `servers_known` includes those that were expected and never seen.
    """

    servers_known: int
    servers_answered: int
    missing: list[str]

    @property
    def complete(self) -> bool:
        return self.servers_answered >= self.servers_known > 0


class EndpointCost(Struct, frozen=True, kw_only=True):
    """What one endpoint cost in an epoch; `bytes` are bodies as they came, packed or not."""

    requests: int = 0
    replies: int = 0
    bytes: int = 0


class Cost(Struct, frozen=True, kw_only=True):
    """What one epoch cost the servers and this process, and what was lost.

    `servers_swept` counts the servers whose connections were read; those of the others have not
    changed since, or cannot matter, and the oldest were read `oldest_sweep_seconds` ago.
    `window_bytes` is the limit of bytes requested and not yet received, `peak_window_bytes` the
    most that there were. `dropped_messages` arrived faster than they were processed,
    `dropped_advisories` could not be published for too long: both since the agent started.
    """

    requests: int = 0
    replies: int = 0
    bytes: int = 0
    malformed: int = 0
    servers_asked: int = 0
    servers_swept: int = 0
    oldest_sweep_seconds: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_window_bytes: int = 0
    window_bytes: int = 0
    dropped_keys: int = 0
    dropped_messages: int = 0
    dropped_advisories: int = 0
    endpoints: dict[str, EndpointCost] = {}


class Access(Struct, frozen=True, kw_only=True):
    """How the agent sees the system: as a user of the system account, or of one that imports its
    requests, under the `prefix`.

    In operator mode `account` and `user` are keys; servers from 2.11 tell their names, too.
    """

    mode: Literal["system", "imported"]
    account: str
    user: str
    account_name: str = ""
    user_name: str = ""
    prefix: str = ""


# What one shard of a divided system publishes: keys of one fold, clusters, and other shards.
MOST_COUNTS = 5000
MOST_CLUSTERS = 1000
MOST_SHARDS = 100
# What is counted, such as an account and a user.
Key = str | tuple[str, ...]


class Counted(Struct, frozen=True, kw_only=True):
    """The counts of one fold in one shard: a key that is not in `counts` has at most `floor`.

    It is `exact` if the connections of all its servers are known as they are now.
    """

    floor: Annotated[float, Meta(ge=0)]
    exact: bool
    counts: Annotated[
        list[tuple[Key, Annotated[int, Meta(ge=0, le=2**53)]]], Meta(max_length=MOST_COUNTS)
    ]
    asked: Annotated[list[Key], Meta(max_length=MOST_COUNTS)] = []

    def named(self) -> set[Key]:
        """The keys whose counts it needs of the others."""
        return {key for key, count in self.counts if count > self.floor} | set(self.asked)

    def bounded(self, most: int) -> Counted:
        """The same with the largest counts only, and a floor that says so."""
        if max(len(self.counts), len(self.asked)) <= most:
            return self
        counts = heapq.nlargest(most + 1, self.counts, key=lambda item: item[1])
        left_out = counts[most][1] if len(counts) > most else 0
        return replace(
            self,
            floor=max(self.floor, left_out),
            counts=counts[:most],
            asked=self.asked[:most],
        )
