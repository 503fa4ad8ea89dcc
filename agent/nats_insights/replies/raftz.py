"""RAFTZ: the Raft groups of the system account, which is the meta group, as one server sees it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Bytes, Count, Counter, Part, Time, shared, since
from nats_insights.replies.varz import Varz


class Log(Struct, gc=False):
    """What a group has written that is not yet in a snapshot."""

    messages: Bytes = 0
    bytes: Bytes = 0
    first_seq: Bytes = 0
    first_ts: Time | None = None
    last_seq: Bytes = 0
    last_ts: Time | None = None
    consumer_count: Count = 0
    num_subjects: Count = 0
    num_deleted: Counter = 0


class GroupPeer(Struct, gc=False):
    """Another member. `last_seen` is how long ago, as Go prints durations."""

    name: str = ""
    known: bool = False
    last_replicated_index: Bytes = 0
    last_seen: str = ""

    def __post_init__(self) -> None:
        self.name = shared(self.name)


class RaftGroup(Part, gc=False):
    """This server's part in one group; `id` and `leader` are ids of peers, not of servers."""

    id: str = ""
    state: str = ""
    size: Count = 0
    quorum_needed: Count = 0
    observer: bool = False
    paused: bool = False
    overrun: bool = since("2.14.0", zero=False)
    overrun_count: Counter = since("2.14.0", zero=0)
    committed: Bytes = 0
    applied: Bytes = 0
    catching_up: bool = False
    leader: str = ""
    leader_since: Time | None = since("2.11.9")
    ever_had_leader: bool = False
    term: Bytes = 0
    voted_for: str = ""
    pterm: Bytes = 0
    pindex: Bytes = 0
    system_account: bool = since("2.11.9", zero=False)
    traffic_account: str = since("2.11.9", zero="")
    ipq_proposal_len: Count = 0
    ipq_entry_len: Count = 0
    ipq_resp_len: Count = 0
    ipq_apply_len: Count = 0
    wal: Log | None = None
    # Servers report only that there is an error, not which one.
    wal_error: Any = None
    peers: dict[str, GroupPeer] | None = None


# By account, by name of the group.
Raftz = dict[str, dict[str, RaftGroup]]


def _without(varz: Varz) -> Raftz | None:
    return None if varz.jetstream and varz.jetstream.config else {}


RAFTZ = Endpoint("RAFTZ", Raftz, weight=1200, since="2.10.26", without=_without)
