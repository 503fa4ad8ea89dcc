"""SERVER_009: a server starts again and again."""

from nats_insights.check import (
    CRITICAL,
    VARZ,
    Annotated,
    Finding,
    Params,
    Server,
    changes,
    check,
    duration,
    limit,
)

_KEEP = 86_400


class Loop(Params, frozen=True):
    restarts: Annotated[
        int, limit("restarts", ge=1, le=16, insights=2, description="within the window")
    ] = 3
    window: Annotated[
        float, duration(gt=0, le=_KEEP, description="over which restarts are counted")
    ] = 3600.0


@changes(keep=_KEEP)
def process(server: Server) -> str:
    return server.process  # A new id with each start.


@check("SERVER_009", CRITICAL, "errors", needs=(VARZ, process), resolve_after=1)
def crash_loop(server: Server, params: Loop) -> Finding | None:
    """A server restarts again and again.

    Finds: the agent saw `restarts` restarts or more of a server in the last `window`, announced or
    not. Restarts between two looks of the agent count as one, and a server that never comes up is
    reported as one that does not answer. Two servers of one name look alike, and are SERVER_905.

    Why: each start drops all of its clients, moves the leaders of its streams, and makes the other
    servers bring its replicas up to date. Meanwhile, its cluster is one server smaller.

    Do: see why {server} ends, in its log and in the events of its container: out of memory, a
    liveness probe that fails while it recovers streams, a full disk. For a container, let the probe
    ask `/healthz?js-server-only=true`, and give it more time to start.

    Default: upgrades and changed options restart a server once or twice in an hour.

    Catalogue: corrected: three restarts, counted by cluster and name.
    """
    shared = server.shared_ago
    if server.settled > params.window or (shared is not None and shared <= params.window):
        return None
    restarts = server.past(process).times_within(params.window)
    if (reached := params.reached(restarts, "restarts")) is None:
        return None
    return reached.finding(
        f"{server.name} restarted {restarts} times in the last {params.window:,.0f} s",
        cleared=f"{server.name} no longer restarts again and again",
        up_seconds=round(server.settled, 1),
        crashed=server.crashed,
    )
