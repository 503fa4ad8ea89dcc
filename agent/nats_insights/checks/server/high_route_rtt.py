"""SERVER_010: servers of a cluster are far apart."""

from nats_insights.check import (
    ROUTEZ_DETAIL,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    largest,
    limit,
    milliseconds,
)


class Distance(Params, frozen=True):
    max_rtt: Annotated[
        float,
        limit("ms", ">", clear=0.8, ge=12.5, description="from one server to the other and back"),
    ] = 50.0


@check(
    "SERVER_010",
    WARNING,
    "performance",
    needs=(ROUTEZ_DETAIL,),
    open_after=3,
    news=False,
    common=True,
)
def high_route_rtt(server: Server, params: Distance) -> Finding | None:
    """Round trips between servers of a cluster take long.

    Finds: in three evaluations in a row a round trip on a route of the server took longer than
    `max_rtt`. Servers measure each connection every 30 s, and the slowest counts. Both servers of a
    slow route are reported.

    Why: messages between clients of the two servers wait, and a stream or consumer with replicas on
    both needs a round trip for each write that it confirms. Raft groups elect leaders again and
    again when their members hear of each other too late.

    Do: see whether one of the two servers is overloaded, or the network between them full. Keep
    the servers of {cluster} in one region; join regions by gateways or leaf nodes.

    Default: zones of one region are less than 5 ms apart, regions mostly more than 50 ms.

    Catalogue: corrected: three evaluations in a row, since one late reply to a ping means nothing.
    """
    slow: dict[str, float] = {}
    for route in server.reply(ROUTEZ_DETAIL).routes or ():
        told = route.rtt
        # Most are such as 214µs or 1.204518ms: below 10 ms, and so below the lowest eased limit.
        if told[-2:] == "µs" or (told[1:2] == "." and told[-2:] == "ms"):
            continue
        if (rtt := milliseconds(told)) > params.max_rtt:
            slow[route.remote_name] = max(rtt, slow.get(route.remote_name, 0.0))
    if not slow:
        return None
    worst = max(slow, key=lambda name: (slow[name], name))
    return Finding(
        value=round(slow[worst], 1),
        threshold=params.max_rtt,
        unit="ms",
        summary=f"a round trip from {server.name} to {worst} takes {slow[worst]:.0f} ms"
        + (f", the longest of {len(slow)} that take long" if len(slow) > 1 else ""),
        cleared=f"round trips from {server.name} to its cluster no longer take long",
        evidence=largest({name: round(rtt) for name, rtt in slow.items()}),
    )
