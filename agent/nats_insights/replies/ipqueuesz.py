"""IPQUEUESZ: queues inside a server that are not empty."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Count


class Queue(Struct, gc=False):
    """How many entries are pending, and how many are being processed."""

    pending: Count = 0
    in_progress: Count = 0


# By name of the queue. "System recvQ" always holds the request itself.
IPQUEUESZ = Endpoint("IPQUEUESZ", dict[str, Queue], weight=600, since="2.10.26")
