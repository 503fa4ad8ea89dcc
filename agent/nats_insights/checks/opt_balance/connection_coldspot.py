"""OPT_BALANCE_901: one server of a cluster holds far fewer connections than its peers."""

from statistics import fmean, median

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


class Coldspot(Params, frozen=True):
    ratio: Annotated[
        float,
        limit("x", "<=", clear=1.2, gt=0, lt=0.8, description="times the median of its cluster"),
    ] = 0.5
    min_median: Annotated[
        float, limit("connections", ge=1, description="of the cluster; one with a lower is ignored")
    ] = 20.0


def median_connections(cluster: Cluster) -> float:
    return median(server.connections for server in cluster.servers)


def mean_connections(cluster: Cluster) -> float:
    return fmean(server.connections for server in cluster.servers)


@check("OPT_BALANCE_901", INFO, "saturation", needs=(STATZ,), open_after=2, settle=True)
def connection_coldspot(server: Server, params: Coldspot) -> Finding | None:
    """One server of a cluster has far fewer connections than the others.

    Finds: a server of a cluster of three or more holds `ratio` times the median of its cluster or
    less. The median is what a usual server of the cluster holds; one hot server does not raise it,
    so that its peers are not cold for that. Connections to the system account do not count.

    Why: clients do not move back by themselves. After a restart the server stays empty, and the
    others carry its share; or clients cannot reach it, or do not know it, and will miss it when the
    others stop.

    Do: see whether clients can reach {server} under the address that it tells them
    (`client_advertise`), and whether they are configured with it. Then put the fullest servers of
    {cluster} into lame duck mode one after another, so that clients spread anew.

    Default: Half the median is what a restart leaves; below twenty connections chance does as
    much.
    """
    if server.cluster is None or len(server.cluster.servers) < 3:
        return None
    usual = server.cluster.memo(median_connections)
    if usual < params.min_median:
        return None
    if (reached := params.reached(server.connections / usual, "ratio")) is None:
        return None
    return reached.finding(
        f"{server.name} holds {server.connections:,} connections, where a usual server of "
        f"{server.cluster.name} holds {usual:,.0f}",
        connections=server.connections,
        median=usual,
        mean=round(server.cluster.memo(mean_connections), 1),
    )
