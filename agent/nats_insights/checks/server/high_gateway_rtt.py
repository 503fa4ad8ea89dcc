"""SERVER_018: another cluster is farther away than distance explains."""

from nats_insights.check import GATEWAYZ, WARNING, Annotated, Finding, Gateway, Params, check, limit


class Distance(Params, frozen=True):
    max_rtt: Annotated[
        float,
        limit(
            "ms", ">", clear=0.8, insights=50.0, gt=0, description="to the other cluster and back"
        ),
    ] = 500.0


@check(
    "SERVER_018",
    WARNING,
    "performance",
    needs=(GATEWAYZ,),
    open_after=3,
    news=False,
    common=True,
)
def high_gateway_rtt(gateway: Gateway, params: Distance) -> Finding | None:
    """A round trip to another cluster takes long.

    Finds: in three evaluations in a row a round trip on the outbound connection of a gateway took
    longer than `max_rtt`. Servers measure it every 15 s.

    Why: messages to the other cluster wait at least half as long, and requests for the whole of it.
    More than distance explains means that the network is full or takes a detour, or that one of the
    servers is overloaded.

    Do: see whether {server} or the server of {remote} at the other end is overloaded, and which way
    the network takes between them. For clusters that are near each other set a lower limit, with an
    override where only some are.

    Default: half the circumference of the Earth and back takes 200 ms in fibre, and detours
    make that 400 ms at most, so 500 ms is no distance.

    Catalogue: corrected: 500 ms, since 50 ms is less than most regions are apart.
    """
    if (reached := params.reached(gateway.rtt)) is None:
        return None
    return reached.finding(
        f"a round trip from {gateway.server.name} to {gateway.remote} takes {gateway.rtt:.0f} ms",
        cleared=f"a round trip from {gateway.server.name} to {gateway.remote} is no longer slow",
    )
