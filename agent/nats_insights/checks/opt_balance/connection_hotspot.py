"""OPT_BALANCE_002: one server of a cluster holds far more connections than its peers."""

from statistics import fmean

from nats_insights.check import (
    INFO,
    STATZ,
    Annotated,
    Cluster,
    Finding,
    Params,
    Server,
    check,
    limit,
)


class Hotspot(Params, frozen=True):
    ratio: Annotated[
        float, limit("x", clear=0.9, gt=1, description="times the mean of the cluster")
    ] = 2.0
    min_connections: Annotated[
        int, limit("connections", insights=100, ge=1, description="a server with fewer is ignored")
    ] = 10


def mean_connections(cluster: Cluster) -> float:
    return fmean(server.connections for server in cluster.servers)


@check(
    "OPT_BALANCE_002",
    INFO,
    "saturation",
    needs=(STATZ,),
    clients="connections",
    open_after=2,
    settle=True,
)
def connection_hotspot(server: Server, params: Hotspot) -> Finding | None:
    """One server of a cluster has far more connections than the others.

    Finds: a server of a cluster of two or more has `ratio` times the mean of its cluster or more.
    The mean includes the server itself and servers without connections; connections to the system
    account do not count.

    Why: this server runs out of memory, file descriptors and CPU first, while the others are idle.
    When it stops, most clients reconnect at the same time, to the other servers.

    Do: configure the clients with every server of {cluster}, not with {server} alone, and let the
    client library choose at random. Remove sticky sessions from the load balancer. Then put
    {server} into lame duck mode, so that its clients move one after another.

    Default: Twice the mean is more than chance and a rolling restart leave; ten connections are
    worth moving.

    Catalogue: corrected: found at twice the mean, else a cluster of two could never have one.
    """
    if server.cluster is None or len(server.cluster.servers) < 2:
        return None
    mean = server.cluster.memo(mean_connections)
    if server.connections < max(params.min_connections, params.ratio * mean):
        return None
    ratio = server.connections / mean
    return Finding(
        value=round(ratio, 2),
        threshold=params.ratio,
        unit="x",
        summary=f"{server.name} holds {server.connections:,} connections, "
        f"{ratio:.1f} times the mean of {server.cluster.name}",
        evidence={"connections": server.connections, "mean": round(mean, 1)},
        servers=(server.name,),
    )
