"""SERVER_908: a server will soon reach its connection limit."""

from datetime import timedelta
from itertools import pairwise

from nats_insights.check import (
    VARZ,
    WARNING,
    Annotated,
    Cluster,
    Finding,
    Params,
    Server,
    check,
    duration,
    limit,
    samples,
)

_KEEP = 86_400


class Ahead(Params, frozen=True):
    within: Annotated[
        float, duration("<", clear=1.5, gt=0, le=604_800, description="until it is reached")
    ] = 86_400.0
    min_percent: Annotated[
        float, limit("%", ge=0, lt=100, description="of max_connections; fewer are ignored")
    ] = 50.0
    window: Annotated[
        float, duration(ge=1800, le=14_400, description="in which the number rises steadily")
    ] = 3600.0


@samples(keep=_KEEP, every=300)
def connections(server: Server) -> int:
    return server.varz.connections


def youngest(cluster: Cluster) -> float:
    return min(server.settled for server in cluster.servers)


@check(
    "SERVER_908",
    WARNING,
    "saturation",
    needs=(VARZ, connections),
    clients="connections",
    open_after=3,
    resolve_after=5,
    news=False,
)
def connection_limit_ahead(server: Server, params: Ahead) -> Finding | None:
    """A server will soon reach its connection limit.

    Finds: a server with `min_percent` of its `max_connections` or more reaches the limit `within`
    from now, if they rise on as in the last `window`. They must have risen in each third of it, of
    which the slowest counts. For all of `window` there must have been more than ever in the 24
    hours before, or as long as the agent knows, so that the rise of every morning is none. After a
    restart in its cluster it waits for a `window`.

    Why: at the limit the server refuses every new connection. Now there is time to prevent that.

    Do: see which clients of {server} grow in number. Where they leak connections, repair them.
    Where the system grows, add servers, or raise `max_connections` and the limit of open files.

    Default: within a day there is time to prevent it, and hardly any deployment or restart lets
    connections rise steadily for an hour.
    """
    most, now = server.varz.max_connections, server.varz.connections
    if most <= 0 or 100 * now < params.min_percent * most:
        return None  # As most servers: no past is read of these.
    past, third = server.past(connections), params.window / 3
    gained = [0.0, *(past.difference(third * number) for number in (1, 2, 3))]
    pace = min(after - before for before, after in pairwise(gained)) / third
    if pace <= 0 or (reached := params.reached((most - now) / pace, "within")) is None:
        return None
    settled = server.cluster.memo(youngest) if server.cluster else server.settled
    if settled < params.window:
        return None
    day, rise = past.values(past.known_for), past.values(params.window)
    if rise[0] < max(day[: -len(rise)], default=0):
        return None
    at = server.varz.now and server.varz.now + timedelta(seconds=reached.value)
    return reached.finding(
        f"{server.name} reaches its limit of {most:,} connections in {reached.value / 3600:.1f} "
        f"hours if they rise on as in the last {params.window / 60:,.0f} minutes",
        cleared=f"the connections of {server.name} no longer rise towards its limit",
        servers=(server.name,),
        connections=now,
        gained=round(gained[-1]),
        per_hour=round(3600 * pace, 1),
        reached_at=at.isoformat(timespec="seconds") if at else "",
    )
