"""SERVER_906: the memory of a server reaches its GOMEMLIMIT."""

from nats_insights.check import (
    CRITICAL,
    VARZ,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    limit,
)


class Memory(Params, frozen=True):
    warning_percent: Annotated[
        float,
        limit("%", severity=WARNING, clear=0.95, gt=0, le=1000, description="of GOMEMLIMIT"),
    ] = 100.0
    critical_percent: Annotated[
        float,
        limit("%", severity=CRITICAL, clear=0.95, gt=0, le=1000, description="of GOMEMLIMIT"),
    ] = 110.0


@check("SERVER_906", WARNING, "saturation", needs=(VARZ,), open_after=5)
def memory_near_limit(server: Server, params: Memory) -> Finding | None:
    """The memory of a server reaches its GOMEMLIMIT.

    Finds: in five evaluations in a row the resident memory of a server is `warning_percent` or more
    of the limit in its environment variable GOMEMLIMIT; critical from `critical_percent`. Servers
    without the variable have no limit, and those before 2.10.28 and 2.11.2 do not tell it.

    Why: at that limit the server spends up to half of its CPU on collecting garbage, and still
    grows. As a rule GOMEMLIMIT is a little below what its container may use: there it is killed.

    Do: see what grows on {server}: connections, subscriptions, messages that wait for slow clients
    (CONN_002), streams in memory, consumers. Spread them over more servers, or give it more memory
    and raise GOMEMLIMIT to nine tenths of it.

    Default: a server reuses memory before it reaches its limit, so being near it is ordinary.
    """
    varz = server.varz
    if not varz.gomemlimit:
        return None
    percent = 100 * varz.mem / varz.gomemlimit
    if (reached := params.reached(percent)) is None:
        return None
    return reached.finding(
        f"{server.name} uses {varz.mem / 2**20:,.0f} MiB, {percent:.0f} % of its GOMEMLIMIT",
        memory=varz.mem,
        gomemlimit=varz.gomemlimit,
    )
