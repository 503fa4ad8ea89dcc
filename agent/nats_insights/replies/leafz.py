"""LEAFZ: leaf nodes of this server, and the interest that came over them."""

from __future__ import annotations

import msgspec

from nats_insights.replies.durations import milliseconds
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import (
    Bytes,
    Count,
    Counter,
    Limit,
    Part,
    Reply,
    Time,
    shared,
    since,
)
from nats_insights.replies.varz import Proxy


class Leaf(Part, gc=False):
    """One connection, of one account: both of its ends list it.

    The `id` that some versions send is the number of a connection and not the server's id. `rtt` is
    in milliseconds, 0 until it was measured.
    """

    name: str = ""
    is_spoke: bool = False
    is_isolated: bool = since("2.12.0", zero=False)
    account: str = ""
    ip: str = ""
    port: Limit = 0
    rtt_text: str = msgspec.field(name="rtt", default="")
    in_msgs: Counter = 0
    out_msgs: Counter = 0
    in_bytes: Bytes = 0
    out_bytes: Bytes = 0
    subscriptions: Count = 0
    compression: str = ""
    proxy: Proxy | None = since("2.12.0")

    @property
    def rtt(self) -> float:
        return milliseconds(self.rtt_text)


class Leafz(Reply, gc=False):
    """LEAFZ."""

    server_id: str = ""
    now: Time | None = None
    leafnodes: Count = 0
    leafs: list[Leaf] | None = None

    def __post_init__(self) -> None:
        for leaf in self.leafs or ():
            leaf.name = shared(leaf.name)
            leaf.account = shared(leaf.account)

    @property
    def peers(self) -> frozenset[str]:
        """Names of the servers at the other ends."""
        return frozenset([leaf.name for leaf in self.leafs or ()])

    @property
    def subscriptions(self) -> int:
        """The interest that came over all leaf nodes."""
        return sum([leaf.subscriptions for leaf in self.leafs or ()])


LEAFZ = Endpoint(
    "LEAFZ",
    Leafz,
    weight=1000,
    without=lambda varz: None if varz.leafnodes else Leafz(),
)
