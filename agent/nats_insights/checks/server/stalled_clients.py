"""SERVER_013: a server holds up clients that publish to slow ones."""

from nats_insights.check import (
    VARZ,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    duration,
    limit,
    samples,
)

_KEEP = 900


class Stalled(Params, frozen=True):
    per_second: Annotated[
        float, limit("/s", gt=0, clear=0.8, insights=0.0001, description="pauses of publishers")
    ] = 20.0
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which pauses are counted")
    ] = 300.0


@samples(keep=_KEEP, every=15)
def stalls(server: Server) -> int:
    return server.varz.stalled_clients


@check("SERVER_013", WARNING, "performance", needs=(VARZ, stalls), news=False)
def stalled_clients(server: Server, params: Stalled) -> Finding | None:
    """A server holds up clients that publish.

    Finds: in the last `window` a server paused its publishing clients `per_second` times or more,
    on average, because a subscriber of theirs had three quarters of `max_pending` waiting for it.
    The window must have passed since the agent saw the server first. Servers before 2.12 do not
    tell.

    Why: publishers are slowed down to the pace of their slowest subscriber, all subjects of the
    same connection included. If that is not enough, the subscriber is cut off.

    Do: find the subscriber that is behind with `nats server report connections --sort out-bytes` or
    by CONN_002. Have it read faster, share its subjects in a queue group, or let it pull from a
    stream. `no_fast_producer_stall` of {server} drops its messages instead.

    Default: a pause lasts 2 to 5 ms, so twenty a second take a publisher up to a tenth of its time.

    Catalogue: corrected: a rate over minutes, since a single pause is ordinary flow control.
    """
    if not server.varz.stalled_clients:
        return None
    rate = server.past(stalls).rate(params.window)
    if (reached := params.reached(rate, "per_second")) is None:
        return None
    return reached.finding(
        f"{server.name} held up publishers {rate:,.1f} times per second "
        f"in the last {params.window:,.0f} s",
        since_start=server.varz.stalled_clients,
    )
