"""SERVER_903: clients connect to a server and disconnect all the time."""

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


class Churn(Params, frozen=True):
    per_second: Annotated[
        float, limit("/s", clear=0.8, gt=0, description="connections that ended")
    ] = 10.0
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which connections are counted")
    ] = 30.0


@samples(keep=_KEEP, every=5)
def accepted(server: Server) -> int:
    return server.varz.total_connections


@samples(keep=_KEEP, every=5)
def held(server: Server) -> int:
    return server.varz.connections


@check("SERVER_903", WARNING, "performance", needs=(VARZ, accepted, held), open_after=5, news=False)
def connection_churn(server: Server, params: Churn) -> Finding | None:
    """Clients connect to a server and disconnect all the time.

    Finds: in five evaluations in a row `per_second` connections or more of a server had ended
    within `window`, on average; within what the agent saw of it, if that is less. Clients that come
    and stay do not count, as when another server stopped; nor do connections that ended because the
    server itself was restarted.

    Why: each connection costs TLS, authentication and the exchange of its subscriptions with all
    other servers. The server is busy with that, and clients that want to stay connect slowly.

    Do: look in the log of {server} for the clients that come and go, by their names and addresses,
    and for the reason why their connections are closed. Have short jobs and web requests share one
    connection. Let clients wait longer between two attempts, above all after a refused login.

    Default: Clients that stay make well below one connection per second, also after a rolling
    restart.
    """
    total = server.past(accepted)
    window = min(params.window, total.known_for)
    seconds = total.span(window)
    if server.settled < 2 * seconds:
        # It counts from its start. A late epoch has figures of a restart after the window began.
        ended, seconds = total.now - server.past(held).now, max(seconds, server.settled)
    else:
        ended = total.growth(window) - server.past(held).difference(window)
    rate = ended / seconds
    if (reached := params.reached(rate, "per_second")) is None:
        return None
    return reached.finding(
        f"{rate:,.1f} connections to {server.name} ended per second in the last {seconds:,.0f} s",
        ended=round(ended),
        seconds=round(seconds, 1),
        accepted=round(total.now),
        connections=server.varz.connections,
    )
