"""ROUTEZ: connections with the other servers of the cluster, and the interest over them.

In a large cluster it is the longest of the small replies. Who is connected, and the interest, are
decoded in each epoch, the other figures of the connections less often.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Bytes, Count, Counter, Limit, Reply, Time, is_id, shared


class Subjects(Struct, gc=False):
    """Subjects that routes may carry."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None


class Route(Struct, gc=False):
    """One connection. Two servers have several: a pool, and one for each pinned `account`.

    `rtt`, `uptime` and `idle` are as Go prints durations; `pending_size` is in bytes.
    """

    rid: Counter = 0
    remote_id: str = ""
    remote_name: str = ""
    did_solicit: bool = False
    is_configured: bool = False
    ip: str = ""
    port: Limit = 0
    start: Time | None = None
    last_activity: Time | None = None
    rtt: str = ""
    uptime: str = ""
    idle: str = ""
    import_: Subjects | None = msgspec.field(name="import", default=None)
    export: Subjects | None = None
    pending_size: Bytes = 0
    in_msgs: Counter = 0
    out_msgs: Counter = 0
    in_bytes: Bytes = 0
    out_bytes: Bytes = 0
    subscriptions: Count = 0
    account: str = ""
    compression: str = ""


class Link(Struct, gc=False):
    """What one connection says of the other server."""

    remote_id: str = ""
    remote_name: str = ""
    account: str = ""
    subscriptions: Count = 0


class Routez(Reply, gc=False):
    """ROUTEZ: to whom this server has routes. `routes` has connections, not servers."""

    routes: list[Link] | None = None

    def __post_init__(self) -> None:
        known: dict[str, Link] = {}
        for route in self.routes or ():  # Several to each server.
            first = known.setdefault(route.remote_id, route)
            if first is route:
                route.remote_id, route.remote_name = (
                    shared(route.remote_id),
                    shared(route.remote_name),
                )
            else:
                route.remote_id, route.remote_name = first.remote_id, first.remote_name

    @property
    def peers(self) -> dict[str, str]:
        """Names of the other servers by id; those that cannot be asked by their id left out."""
        names = {route.remote_id: route.remote_name for route in self.routes or ()}
        return {id: name for id, name in names.items() if is_id(id)}

    @property
    def subscriptions(self) -> int:
        """The interest that came over all routes."""
        return sum([route.subscriptions for route in self.routes or ()])


ROUTEZ = Endpoint("ROUTEZ", Routez, weight=2500)


class RoutezDetail(Reply, gc=False):
    """ROUTEZ with all figures of each connection; `num_routes` counts connections, not servers."""

    server_id: str = ""
    server_name: str = ""
    now: Time | None = None
    import_: Subjects | None = msgspec.field(name="import", default=None)
    export: Subjects | None = None
    num_routes: Count = 0
    routes: list[Route] | None = None


ROUTEZ_DETAIL = Endpoint("ROUTEZ", RoutezDetail, weight=2500, every=300.0, key="ROUTEZ_DETAIL")
