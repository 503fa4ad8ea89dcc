"""OPT_BALANCE_003: one server of a cluster holds far more local subscriptions than its peers."""

from statistics import fmean

from nats_insights.check import (
    INFO,
    LEAFZ,
    ROUTEZ,
    VARZ,
    Annotated,
    Cluster,
    Finding,
    Params,
    Server,
    check,
    limit,
    local_subscriptions,
)


class Hotspot(Params, frozen=True):
    ratio: Annotated[
        float, limit("x", clear=0.9, gt=1, description="times the mean of the cluster")
    ] = 2.0
    min_subscriptions: Annotated[
        int, limit("subscriptions", ge=1, description="a server with fewer is ignored")
    ] = 100


def subscriptions(server: Server) -> int:
    return server.folded(local_subscriptions)["subscriptions"]


def mean_subscriptions(cluster: Cluster) -> float:
    return fmean([subscriptions(server) for server in cluster.servers])


def no_server_is_near(cluster: Cluster, params: Hotspot) -> bool:
    """By the local interest: no client holds more than all of it, nor less than what is left of it
    if the internal subscriptions that the last sweep told apart had doubled, and grown by 100."""
    interest = [server.local_interest for server in cluster.servers]
    if max(interest) < params.min_subscriptions:
        return True
    least = [
        max(0, server.local_interest - 2 * server.internal_interest - 100)
        for server in cluster.servers
    ]
    return max(interest) < params.ratio * fmean(least)


@check(
    "OPT_BALANCE_003",
    INFO,
    "saturation",
    needs=(VARZ, ROUTEZ, LEAFZ, local_subscriptions),
    clients="subscriptions",
    open_after=2,
    settle=True,
    rules_out=no_server_is_near,
)
def subscription_hotspot(server: Server, params: Hotspot) -> Finding | None:
    """One server of a cluster has far more subscriptions than the others.

    Finds: the clients of a server of a cluster of two or more have `ratio` times the mean of local
    subscriptions of the cluster or more. Interest routed from other servers does not count,
    although the totals that servers report include it.

    Why: every message that reaches this server is matched against all of these subscriptions and
    copied to those that match, so one server does the work of the whole cluster.

    Do: look at the clients of {server} with the most subscriptions, which `nats server report
    connections --sort subs` shows: one wildcard often replaces many subjects. Configure the clients
    with every server of {cluster}, then put {server} into lame duck mode, so that its clients move
    to the others.

    Default: As for connections; fewer than a hundred subscriptions cost a server nothing.

    Catalogue: corrected: counts local subscriptions, since totals include the interest of all
    other servers.
    """
    if server.cluster is None or len(server.cluster.servers) < 2:
        return None
    held, mean = subscriptions(server), server.cluster.memo(mean_subscriptions)
    if held < max(params.min_subscriptions, params.ratio * mean):
        return None
    return Finding(
        value=round(held / mean, 2),
        threshold=params.ratio,
        unit="x",
        summary=f"{server.name} holds {held:,} local subscriptions, "
        f"{held / mean:.1f} times the mean of {server.cluster.name}",
        evidence={
            "subscriptions": held,
            "mean": round(mean, 1),
            "with_internal": server.local_interest,
        },
        servers=(server.name,),
    )
