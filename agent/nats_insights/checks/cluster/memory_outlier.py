"""CLUSTER_001: a server uses far more memory than the others of its cluster."""

from statistics import fmean

from nats_insights.check import (
    VARZ,
    WARNING,
    Annotated,
    Cluster,
    Finding,
    Params,
    Server,
    check,
    limit,
)


class Outlier(Params, frozen=True):
    ratio: Annotated[
        float, limit("x", ">", clear=0.9, gt=1, description="times the mean of the cluster")
    ] = 1.5
    min_mib: Annotated[
        float, limit("MiB", insights=0.0, ge=0, description="a server with less is ignored")
    ] = 1024.0


def mean_memory(cluster: Cluster) -> float:
    return fmean(server.varz.mem for server in cluster.servers)


@check("CLUSTER_001", WARNING, "saturation", needs=(VARZ,), open_after=20, settle=True, news=False)
def memory_outlier(server: Server, params: Outlier) -> Finding | None:
    """A server uses far more memory than the others of its cluster.

    Finds: in twenty evaluations in a row the process of a server used `min_mib` or more, and more
    than `ratio` times the mean of its cluster. The mean includes the server itself.

    Why: it runs out of memory first, and the kernel then kills it: all of its clients reconnect to
    the others at once.

    Do: see what {server} has more of than the others of {cluster}: connections, subscriptions,
    leaders of streams, slow consumers. Move clients away with lame duck mode, and leaders with
    `nats stream cluster step-down`.

    Default: below 1 GiB servers differ by what each did since its start, and few machines are short
    of that much.

    Catalogue: corrected: servers below 1 GiB are ignored, since idle clusters differ as much.
    """
    if server.varz.mem < params.min_mib * 2**20:
        return None
    if server.cluster is None or len(server.cluster.servers) < 2:
        return None
    mean = server.cluster.memo(mean_memory)
    if not mean or (reached := params.reached(server.varz.mem / mean, "ratio")) is None:
        return None
    return reached.finding(
        f"{server.name} uses {server.varz.mem / 2**20:,.0f} MiB of memory, "
        f"{reached.value:.1f} times the mean of {server.home}",
        mem=server.varz.mem,
        mean=round(mean),
        connections=server.varz.connections,
        subscriptions=server.varz.subscriptions,
    )
