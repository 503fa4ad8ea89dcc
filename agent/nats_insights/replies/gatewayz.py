"""GATEWAYZ: connections of this server with servers of other clusters."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.replies.connz import Connection
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Count, Limit, Reply, Time, shared


class AccountInterest(Struct, gc=False):
    """What is known of the interest of one account in the other cluster; never requested."""

    name: str = ""
    interest_mode: str = ""
    no_interest_count: Count = 0
    interest_only_threshold: Count = 0
    num_subs: Count = 0
    num_queue_subs: Count = 0


class Gateway(Struct, gc=False):
    """One gateway connection: the `name` of `connection` is the id of the other server."""

    configured: bool = False
    connection: Connection | None = None
    accounts: list[AccountInterest] | None = None


class Gatewayz(Reply, gc=False):
    """GATEWAYZ: by name of the other cluster, one outbound connection and any number inbound."""

    server_id: str = ""
    now: Time | None = None
    name: str = ""
    host: str = ""
    port: Limit = 0
    outbound_gateways: dict[str, Gateway] | None = None
    inbound_gateways: dict[str, list[Gateway]] | None = None

    def __post_init__(self) -> None:
        for connection in self._connections():
            connection.name = shared(connection.name)

    @property
    def peers(self) -> frozenset[str]:
        """Ids of the servers of other clusters that this one is connected to."""
        return frozenset([connection.name for connection in self._connections()])

    def _connections(self) -> list[Connection]:
        links = [*(self.outbound_gateways or {}).values()]
        links += [link for some in (self.inbound_gateways or {}).values() for link in some or ()]
        return [link.connection for link in links if link.connection]


GATEWAYZ = Endpoint(
    "GATEWAYZ",
    Gatewayz,
    weight=1500,
    every=120.0,
    without=lambda varz: None if varz.gateway and varz.gateway.name else Gatewayz(),
)
