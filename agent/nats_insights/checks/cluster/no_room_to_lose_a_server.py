"""CLUSTER_901: a cluster has no room for the clients of a server that it loses."""

from nats_insights.check import VARZ, WARNING, Annotated, Cluster, Finding, Params, check, limit


class Room(Params, frozen=True):
    percent: Annotated[
        float,
        limit("%", clear=0.94, gt=0, le=100, description="of max_connections of those that stay"),
    ] = 80.0


@check("CLUSTER_901", WARNING, "saturation", needs=(VARZ,), open_after=10, settle=True)
def no_room_to_lose_a_server(cluster: Cluster, params: Room) -> Finding | None:
    """A cluster has no room for the clients of a server that it loses.

    Finds: without one of its servers the others would have `percent` of their `max_connections` or
    more, together. The one whose loss leaves least room is named. Servers that are down are lost
    already. A cluster with a server without a limit is left out.

    Why: when a server stops, or is upgraded, its clients connect to the others. Where these reach
    their limits they refuse them, and clients that reconnect after a network fault, too.

    Do: raise `max_connections` of the servers of {cluster}, together with the limits of open files
    and the memory of their machines, or add a server. Before that, lose none: upgrade one only
    when clients are few.

    Default: 80 %, where a server is reported to be near its limit.
    """
    servers = cluster.servers
    if len(servers) < 2 or any(server.varz.max_connections <= 0 for server in servers):
        return None
    connections = sum(server.varz.connections - server.own_connections for server in servers)
    lost = max(servers, key=lambda one: (one.varz.max_connections, one.varz.connections, one.name))
    others = sum(server.varz.max_connections for server in servers if server is not lost)
    percent = 100 * connections / others
    if (reached := params.reached(percent)) is None:
        return None
    return reached.finding(
        f"without {lost.name} the other servers of {cluster.name} would have {connections:,} of "
        f"{others:,} connections ({percent:.0f} %)",
        lost=lost.name,
        connections=connections,
        max_connections_of_others=others,
        others=len(servers) - 1,
    )
