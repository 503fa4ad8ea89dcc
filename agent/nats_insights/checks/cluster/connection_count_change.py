"""CLUSTER_006: a cluster suddenly has far more or far fewer connections."""

from nats_insights.check import (
    VARZ,
    WARNING,
    Annotated,
    Cluster,
    Finding,
    Params,
    changes,
    check,
    duration,
    largest,
    limit,
    samples,
)

_KEEP = 600


class Change(Params, frozen=True):
    percent: Annotated[
        float, limit("%", insights=0.0, ge=0, description="of the connections before, up or down")
    ] = 30.0
    min_connections: Annotated[
        int, limit("connections", ">", ge=0, description="gained or lost; fewer are ignored")
    ] = 500
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which the numbers are compared")
    ] = 300.0


@samples(keep=_KEEP, every=15)
def connections(cluster: Cluster) -> int:
    return sum(server.varz.connections for server in cluster.servers)


@changes(keep=_KEEP)
def members(cluster: Cluster) -> int:
    return len(cluster.servers)


@check(
    "CLUSTER_006",
    WARNING,
    "change",
    needs=(VARZ, connections, members),
    open_after=2,
    settle=True,
    news=False,
)
def connection_count_change(cluster: Cluster, params: Change) -> Finding | None:
    """A cluster suddenly has far more or far fewer connections.

    Finds: within `window` the servers of a cluster together gained or lost more than
    `min_connections` connections, and `percent` of those that they had. Clients that move to other
    servers of the cluster change nothing, and while servers join or leave nothing is compared.

    Why: many clients at once lost their way to the cluster, or were let in: a broken network, a
    load balancer, expired credentials, a deployment. What they do next hits all servers.

    Do: look at what changed when it began. Where clients were lost, see whether they can reach
    {cluster} and log in; where they came, see who they are, and whether the servers can bear them.

    Default: within five minutes even the first clients of a morning are fewer than 30 %, while a
    third is what is lost with one of three sites.

    Catalogue: corrected: of the cluster, not of each server, whose clients may only have moved; and
    relative, too.
    """
    past = cluster.past(connections)
    window = min(params.window, past.known_for)
    gained = past.difference(window)
    if params.reached(abs(gained), "min_connections") is None:
        return None
    seconds = past.span(window)
    if seconds > 2 * params.window or cluster.past(members).changed_within(min(seconds, _KEEP)):
        return None  # The agent paused, or the sums are of other servers.
    before = past.now - gained
    if (reached := params.reached(100 * abs(gained) / max(before, 1), "percent")) is None:
        return None
    return reached.finding(
        f"the connections of {cluster.name} {'rose' if gained > 0 else 'fell'} from {before:,.0f} "
        f"to {past.now:,.0f} within {seconds:,.0f} s",
        before=round(before),
        now=round(past.now),
        seconds=round(seconds, 1),
        servers_now=largest({one.name: one.varz.connections for one in cluster.servers}),
    )
