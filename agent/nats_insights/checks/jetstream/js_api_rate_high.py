"""JETSTREAM_004: a server answers very many JetStream API requests."""

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

_KEEP = 300


class Busy(Params, frozen=True):
    per_second: Annotated[
        float, limit("/s", clear=0.8, insights=50.0, gt=0, description="requests answered")
    ] = 500.0
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which requests are counted")
    ] = 60.0


@samples(keep=_KEEP, every=5)
def answered(server: Server) -> int:
    return server.jetstream_api.total


@check("JETSTREAM_004", WARNING, "performance", needs=(VARZ, answered), open_after=5, news=False)
def js_api_rate_high(server: Server, params: Busy) -> Finding | None:
    """A server answers very many JetStream API requests.

    Finds: in five evaluations in a row a server had answered `per_second` requests or more within
    `window`, on average: those that create, look up or delete streams and consumers. Messages that
    are published, pulled, acknowledged or got directly are no such requests. A restart, from which
    a server counts anew, hides what came before it.

    Why: requests are for administration. Each one that creates or deletes something is agreed on by
    the whole meta group, and the others wait behind it in the same queue.

    Do: find the clients of {server} that create a consumer for each message, or look up streams and
    consumers all the time. Let them keep their consumers. Where keys are got from a stream by API,
    set `allow_direct`.

    Default: a cluster creates some hundreds to a thousand consumers per second, and clients that
    start together ask for more than that for seconds only.

    Catalogue: corrected: 500 instead of 50, which many clients that only start or look up exceed.
    """
    if answered.figure(server) < params.per_second:
        return None  # As servers that were hardly asked: no past is read of these.
    past = server.past(answered)
    rate = past.rate(params.window)
    if (reached := params.reached(rate, "per_second")) is None:
        return None
    return reached.finding(
        f"{server.name} answered {rate:,.0f} JetStream API requests per second "
        f"in the last {past.span(params.window):,.0f} s",
        since_start=round(past.now),
        seconds=round(past.span(params.window), 1),
    )
