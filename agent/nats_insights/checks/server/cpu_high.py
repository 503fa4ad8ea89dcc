"""SERVER_003: a server uses nearly all of its CPU."""

from nats_insights.check import (
    CRITICAL,
    OFF,
    VARZ,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    limit,
)


class Load(Params, frozen=True):
    warning_percent: Annotated[
        float,
        limit(
            "%",
            severity=WARNING,
            clear=0.9,
            insights=90.0,
            gt=0,
            le=100,
            description="of all cores that it may use",
        ),
    ] = 80.0
    critical_percent: Annotated[
        float,
        limit(
            "%",
            severity=CRITICAL,
            clear=0.95,
            insights=OFF,
            gt=0,
            le=100,
            description="of all cores that it may use",
        ),
    ] = 95.0


@check("SERVER_003", WARNING, "performance", needs=(VARZ,), open_after=3, news=False)
def cpu_high(server: Server, params: Load) -> Finding | None:
    """A server uses nearly all of its CPU.

    Finds: in three evaluations in a row a server used `warning_percent` or more of the cores that
    it may use; critical from `critical_percent`. Servers measure for one second, so one hot sample
    says little. In a container these are the cores of its quota (GOMAXPROCS), not of the machine.

    Why: messages wait in the server, and so do its routes and the replicas of its streams. It
    answers pings late, is taken for dead and loses its leaderships, which makes work for the
    others.

    Do: see which clients of {server} send or receive most, and spread them over the other servers.
    Look for TLS handshakes of clients that reconnect all the time, for subjects that many
    subscriptions match, and for other programs on its machine; then give it more cores.

    Default: Above 80 % latency rises; the cluster has no room for the clients of a server that
    stops.

    Catalogue: corrected: three looks in a row, and the cores of the container's quota.
    """
    varz = server.varz
    cores = min(varz.cores, varz.gomaxprocs or varz.cores)
    if not cores:  # No server says so.
        return None
    percent = varz.cpu / cores
    if (reached := params.reached(percent)) is None:
        return None
    return reached.finding(
        f"{server.name} uses {percent:.0f} % of its {cores} cores",
        cpu=round(varz.cpu, 1),
        cores=cores,
        cores_of_machine=varz.cores,
    )
