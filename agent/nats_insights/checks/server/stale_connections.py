"""SERVER_012: many connections of a server went silent without being closed."""

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

_KEEP = 3600


class Stale(Params, frozen=True):
    percent: Annotated[
        float,
        limit("%", ge=0, le=100, insights=0.0, description="of the connections went stale"),
    ] = 2.0
    least: Annotated[int, limit("connections", ge=1, insights=1, description="that went stale")] = (
        20
    )
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which they are counted")
    ] = 600.0


@samples(keep=_KEEP, every=30)
def stale(server: Server) -> int:
    return server.varz.stale_connections


@check("SERVER_012", WARNING, "errors", needs=(VARZ, stale), resolve_after=1, news=False)
def stale_connections(server: Server, params: Stale) -> Finding | None:
    """Many connections of a server went stale.

    Finds: in the last `window` a server gave up `percent` of its connections or more, `least` at
    the least, because they answered none of its pings: clients, leaf nodes, routes and gateways
    together. Within what the agent saw of it, if that is less. Servers before 2.12 do not tell.

    Why: whoever was at the other end lost its messages for minutes before anybody noticed. That
    many at once are lost by the network between, such as a firewall that forgets idle connections,
    or by a machine that hangs.

    Do: look in the log of {server} for `Stale Connection`, and for what these clients have in
    common: an address, a network, a version. Let servers and clients ping more often than firewalls
    forget, with `ping_interval`, and check that the clients answer pings while they work.

    Default: devices that go out of reach are a few of many; 2 % within ten minutes are not.

    Catalogue: corrected: a share of the connections, since single ones go stale in every network.
    """
    varz = server.varz
    if not varz.stale_connections:
        return None
    counted = server.past(stale)
    seconds = min(params.window, counted.known_for)
    lost = round(counted.growth(seconds))
    percent = 100 * lost / max(1, lost + varz.connections + varz.leafnodes)
    if lost < params.least or (reached := params.reached(percent, "percent")) is None:
        return None
    kinds = varz.stale_connection_stats
    return reached.finding(
        f"{lost:,} connections of {server.name} went stale in the last {seconds:,.0f} s "
        f"({percent:.0f} %)",
        cleared=f"few connections of {server.name} go stale",
        stale=lost,
        connections=varz.connections,
        seconds=round(seconds, 1),
        since_start=kinds and {name: getattr(kinds, name) for name in kinds.__struct_fields__},
    )
