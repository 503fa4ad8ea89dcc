"""OPT_SYS_022: the same number of clients has more and more subscriptions."""

from itertools import pairwise

from nats_insights.check import (
    INFO,
    LEAFZ,
    ROUTEZ,
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

_KEEP = 86_400
# A change of connections by this share explains one of subscriptions.
_LEVEL = 0.05
# The share of the growth that each quarter of the window must have.
_STEADY = 0.05


class Growth(Params, frozen=True):
    percent: Annotated[float, limit("%", clear=0.8, gt=0, description="more than before")] = 20.0
    min_growth: Annotated[
        int, limit("subscriptions", clear=0.8, insights=1, ge=1, description="more than before")
    ] = 1000
    window: Annotated[
        float, duration(insights=3600, ge=3600, le=_KEEP, description="in which they grew")
    ] = 86_400.0


@samples(keep=_KEEP, every=900)
def subscriptions(server: Server) -> int:
    return server.local_interest


@samples(keep=_KEEP, every=900)
def connections(server: Server) -> int:
    return server.varz.connections


@check(
    "OPT_SYS_022",
    INFO,
    "errors",
    needs=(VARZ, ROUTEZ, LEAFZ, subscriptions, connections),
    clients="subscriptions",
    news=False,
)
def subscription_count_growth(server: Server, params: Growth) -> Finding | None:
    """The same number of clients has more and more subscriptions.

    Finds: the local subscriptions of a server grew by `percent` and by `min_growth` within
    `window`, in each quarter of it, and its connections changed by less than 5 %. Interest of other
    servers does not count, those subscriptions do that a server makes for streams and consumers.
    The agent must have seen the whole window without a pause.

    Why: a client that subscribes again and never unsubscribes gets each message more than once, and
    fills the memory of all servers of the cluster until one of them ends.

    Do: look at the clients of {server} with the most subscriptions, which `nats server report
    connections --sort subs` shows. Look in them for a subscription made in a loop or at each
    reconnect. Where it is the consumers that grow, give them an inactive threshold.

    Default: within a day what grows in the morning has fallen in the night, and a leak has not.

    Catalogue: corrected: the total holds interest of other servers, and a deployment is no growth.
    """
    if server.local_interest < params.min_growth:
        return None
    past, held = server.past(subscriptions), server.past(connections)
    grown = past.difference(params.window)
    if params.reached(grown, "min_growth") is None:
        return None
    before = past.now - grown
    if (reached := params.reached(100 * grown / max(1.0, before), "percent")) is None:
        return None
    came = held.difference(params.window)
    if abs(came) >= _LEVEL * (held.now - came):
        return None
    points = past.unbroken(params.window)
    marks = [round(points[number * (len(points) - 1) // 4]) for number in range(5)]
    if min(now - then for then, now in pairwise(marks)) < _STEADY * grown:
        return None
    return reached.finding(
        f"the local subscriptions of {server.name} grew steadily by {grown:,.0f} to "
        f"{past.now:,.0f} in {params.window / 3600:,.0f} hours, its connections did not",
        servers=(server.name,),
        quarters=marks,
        connections=round(held.now),
        connections_before=round(held.now - came),
    )
