"""OPT_SYS_012: subscriptions come and go all the time."""

from nats_insights.check import (
    INFO,
    SUBSZ,
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

_KEEP = 3600


class Churn(Params, frozen=True):
    per_second: Annotated[
        float, limit("/s", clear=0.8, insights=167, gt=0, description="made and ended")
    ] = 2000.0
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which subscriptions are counted")
    ] = 300.0


@samples(keep=_KEEP, every=5)
def changed(server: Server) -> int:
    told = server.reply(SUBSZ)
    return told.num_inserts + told.num_removes


@check(
    "OPT_SYS_012",
    INFO,
    "errors",
    needs=(VARZ, SUBSZ, changed),
    open_after=6,
    settle=True,
    news=False,
    common=True,
)
def subscription_churn(server: Server, params: Churn) -> Finding | None:
    """Subscriptions of a server come and go all the time.

    Finds: in six evaluations in a row `per_second` subscriptions or more were made and ended on a
    server, on average over `window`. Interest of other servers of its cluster and of leaf nodes
    counts, since it is the same work; a server that started within `window` is left out.

    Why: each change is sent to all servers of the cluster, and each server then forgets what it
    knew of the subjects that match, so that messages take longer.

    Do: look for clients that subscribe for each request: client libraries have one inbox for all
    requests, and some use it only in their newer versions. Let workers keep their subscriptions,
    and pull consumers fetch more messages at a time.

    Default: a thousand requests per second with an inbox of their own; one burst is never enough.

    Catalogue: corrected: per second, not per epoch; a restart and its reconnects do not count.
    """
    total = server.past(changed)
    seconds = total.span(params.window)
    if server.settled < seconds:  # All of the interest was new to it.
        return None
    # Not `growth`: an account that is unloaded takes its counts with it, which is no reset.
    rate = total.difference(params.window) / seconds
    if (reached := params.reached(rate, "per_second")) is None:
        return None
    told = server.reply(SUBSZ)
    return reached.finding(
        f"{rate:,.0f} subscriptions per second came and went on {server.name} "
        f"in the last {seconds:,.0f} s",
        subscriptions=told.num_subscriptions,
        inserts=told.num_inserts,
        removes=told.num_removes,
        seconds=round(seconds, 1),
    )
