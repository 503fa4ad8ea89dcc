"""Facts about an epoch that many rooms use: coverage, cost, access."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

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
