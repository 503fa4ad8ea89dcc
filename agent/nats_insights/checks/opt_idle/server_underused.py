"""OPT_IDLE_001: a server has had next to nothing to do for a long time."""

from nats_insights.check import (
    INFO,
    STATZ,
    VARZ,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    duration,
    limit,
    samples,
)

_KEEP = 7200


class Idle(Params, frozen=True):
    cpu_percent: Annotated[
        float,
        limit("%", "<", clear=1.5, gt=0, le=100, description="of all cores that it may use"),
    ] = 5.0
    connections: Annotated[
        int,
        limit("connections", "<", clear=1.5, ge=1, description="of clients and leaf nodes"),
    ] = 10
    window: Annotated[
        float, duration(ge=600, le=_KEEP, description="in which it was never less idle")
    ] = 3600.0


@samples(keep=_KEEP, every=60)
def cpu(server: Server) -> float:
    varz = server.varz
    return varz.cpu / max(1, min(varz.cores, varz.gomaxprocs or varz.cores))


@samples(keep=_KEEP, every=60)
def connected(server: Server) -> int:
    return server.connections + server.varz.leafnodes


@check(
    "OPT_IDLE_001",
    INFO,
    "health",
    needs=(VARZ, STATZ, cpu, connected),
    resolve_after=1,
    news=False,
    common=True,
)
def server_underused(server: Server, params: Idle) -> Finding | None:
    """A server has had next to nothing to do for a long time.

    Finds: at no look in the last `window` a server used `cpu_percent` of its cores or had
    `connections` clients and leaf nodes. The agent looks once a minute, or in each epoch where
    these are longer, and says nothing until it has looked for that long without a pause.
    Servers that keep streams are left out, and connections to the system account do not count.

    Why: it costs as much as a server that works, and it is one more to patch and to watch.

    Do: see whether clients should use {server}, and cannot. If it only has to be there, for the
    majority of a cluster or for a region to come, disable this check for it. Else take it out.

    Default: A server that relays for its cluster uses some percent of a core; an hour is no
    pause between jobs.

    Catalogue: corrected: servers that keep streams have work, and are left out.
    """
    if connected.figure(server) >= params.connections:
        return None  # As most servers: no past is read of these.
    stats = server.varz.jetstream and server.varz.jetstream.stats
    if stats and (stats.storage or stats.memory):
        return None
    most = max(server.past(connected).unbroken(params.window))
    busiest = max(server.past(cpu).unbroken(params.window))
    if params.reached(busiest, "cpu_percent") is None:
        return None
    if (reached := params.reached(most, "connections")) is None:
        return None
    return reached.finding(
        f"{server.name} had {most:,.0f} connections and used {busiest:.1f} % of its cores at most "
        f"in {params.window / 60:,.0f} minutes",
        cpu_percent=round(busiest, 1),
        minutes=round(params.window / 60, 1),
    )
