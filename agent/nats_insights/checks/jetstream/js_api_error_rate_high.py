"""JETSTREAM_009: most JetStream API requests to a server fail."""

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


class Failing(Params, frozen=True):
    percent: Annotated[
        float,
        limit("%", ">", clear=0.8, insights=1.0, gt=0, lt=100, description="of all requests"),
    ] = 50.0
    min_requests: Annotated[
        int, limit("requests", ge=1, description="within the window; fewer are ignored")
    ] = 100
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which requests are counted")
    ] = 300.0


@samples(keep=_KEEP, every=5)
def answered(server: Server) -> int:
    return server.jetstream_api.total


@samples(keep=_KEEP, every=5)
def failed(server: Server) -> int:
    return server.jetstream_api.errors


@check("JETSTREAM_009", WARNING, "errors", needs=(VARZ, answered, failed), open_after=2, news=False)
def js_api_error_rate_high(server: Server, params: Failing) -> Finding | None:
    """Most JetStream API requests to a server fail.

    Finds: more than `percent` of the JetStream API requests that a server answered within `window`
    were answered with an error, if these are `min_requests` or more. After a restart only those
    since then count.

    Why: a client asks again and again for what it cannot have: a stream that was deleted, a
    consumer that it may not create, more than its account is allowed to store.

    Do: subscribe to `$JS.EVENT.ADVISORY.API` in the accounts that use JetStream: each advisory has
    the client, the request and the error. Repair the client, or create what it looks for.

    Default: clients that look for a stream or a consumer before they create it cause one error in
    two or three requests, so that less than half is ordinary.

    Catalogue: corrected: 50 % in five minutes instead of 1 % since the previous look.
    """
    if failed.figure(server) * 100 <= params.percent * params.min_requests:
        return None  # As most servers: no past is read of these.
    errors = server.past(failed)
    wrong = errors.growth(params.window)
    if wrong * 100 <= params.percent * params.min_requests:
        return None
    total = server.past(answered)
    asked, seconds = total.growth(params.window), total.span(params.window)
    if server.settled < seconds:  # It counts from its start.
        asked, wrong = total.now, errors.now
    if asked < params.min_requests:
        return None
    percent = 100 * wrong / asked
    if (reached := params.reached(percent, "percent")) is None:
        return None
    return reached.finding(
        f"{wrong:,.0f} of {asked:,.0f} JetStream API requests to {server.name} failed "
        f"in the last {seconds:,.0f} s",
        failed=round(wrong),
        answered=round(asked),
        seconds=round(seconds, 1),
    )
