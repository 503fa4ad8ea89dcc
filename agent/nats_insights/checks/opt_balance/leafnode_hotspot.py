"""OPT_BALANCE_902: one server of a cluster has far more leaf nodes than its peers."""

from statistics import fmean

from nats_insights.check import (
    INFO,
    LEAFZ,
    VARZ,
    Annotated,
    Cluster,
    Finding,
    Params,
    Server,
    check,
    largest,
    limit,
)


class Hotspot(Params, frozen=True):
    ratio: Annotated[
        float, limit("x", clear=0.9, gt=1, description="times the mean of the hubs of its cluster")
    ] = 2.0
    min_leafs: Annotated[
        int, limit("connections", ge=1, description="a server with fewer is ignored")
    ] = 10


def by_hub(cluster: Cluster) -> dict[str, int]:
    """The connections that each server with a listener for leaf nodes has accepted."""
    return {
        server.name: sum(not leaf.is_spoke for leaf in server.reply(LEAFZ).leafs or ())
        for server in cluster.servers
        if server.varz.leaf and server.varz.leaf.port
    }


@check("OPT_BALANCE_902", INFO, "saturation", needs=(VARZ, LEAFZ), open_after=2, settle=True)
def leafnode_hotspot(server: Server, params: Hotspot) -> Finding | None:
    """One server of a cluster has far more leaf nodes than the others.

    Finds: a server accepted `ratio` times the mean of leaf node connections or more, of the servers
    of its cluster that listen for leaf nodes. A leaf node has a connection for each account.

    Why: this server copies the messages of all these sites, and compresses them. When it stops,
    they all connect to the others at the same time, and send their interest again.

    Do: give the leaf nodes the addresses of all servers of {cluster} in `urls`, without
    `no_randomize`, and do not let `no_advertise` hide some of them. Leaf nodes stay where they are
    until they connect anew: restart {server}, or some of its leaf nodes.

    Default: random choice keeps a server below twice the mean, even right after a rolling restart.
    """
    if server.cluster is None or server.varz.leafnodes < params.min_leafs:
        return None
    hubs = server.cluster.memo(by_hub)
    accepted = hubs.get(server.name, 0)
    if accepted < params.min_leafs:
        return None
    mean = fmean(hubs.values())
    if (reached := params.reached(accepted / mean, "ratio")) is None:
        return None
    return reached.finding(
        f"{server.name} has {accepted:,} leaf node connections, "
        f"{accepted / mean:.1f} times the mean of {server.cluster.name}",
        connections=largest(hubs),
        mean=round(mean, 1),
    )
