"""SERVER_004: other servers or leaf nodes read too slowly from a server."""

from nats_insights.check import (
    CRITICAL,
    OFF,
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

_KEEP = 600


class Slow(Params, frozen=True):
    links: Annotated[
        int, limit("links", ge=1, severity=CRITICAL, description="that were slow in the window")
    ] = 1
    clients: Annotated[
        int,
        limit("clients", ge=1, severity=CRITICAL, insights=1, description="cut off in the window"),
    ] = OFF
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which slow consumers are counted")
    ] = 300.0


@samples(keep=_KEEP, every=10)
def slow_links(server: Server) -> int:
    kinds = server.varz.slow_kinds
    return kinds.routes + kinds.gateways + kinds.leafs


@samples(keep=_KEEP, every=10)
def slow_clients(server: Server) -> int:
    return server.varz.slow_kinds.clients


@check(
    "SERVER_004", CRITICAL, "performance", needs=(VARZ, slow_links, slow_clients), resolve_after=1
)
def slow_consumers(server: Server, params: Slow) -> Finding | None:
    """Servers or leaf nodes read too slowly from a server.

    Finds: in the last `window` a server counted `links` slow consumers or more among its routes,
    gateways and leaf nodes; within what the agent saw of it, if that is less. Slow clients are
    found by their account (ACCOUNTS_002), so the server counts them only if you set `clients`.

    Why: the messages that wait for a slow link are dropped with its connection, of all accounts at
    once, and replicas and leaderships behind it are disturbed until it is connected again.

    Do: see in the log of {server} which link is slow. Compare its bandwidth and round-trip time
    with what it carries, and look at the CPU of the server at its other end. If bursts are the
    reason, raise `write_deadline` of {server}.

    Default: a link that keeps up is never counted, and each one that is counted loses messages.

    Catalogue: corrected: links by default, as the slow clients are found by account.
    """
    if not server.varz.slow_consumers:
        return None
    links, clients = server.past(slow_links), server.past(slow_clients)
    seconds = min(params.window, links.known_for)
    slow = {"links": round(links.growth(seconds)), "clients": round(clients.growth(seconds))}
    told = [params.reached(count, kind) for kind, count in slow.items()]
    if (reached := next(filter(None, told), None)) is None:
        return None
    kinds = server.varz.slow_kinds
    return reached.finding(
        f"{reached.value:,} {reached.unit} of {server.name} read too slowly "
        f"in the last {seconds:,.0f} s",
        cleared=f"no {reached.unit} of {server.name} read too slowly any more",
        seconds=round(seconds, 1),
        since_start={
            "routes": kinds.routes,
            "gateways": kinds.gateways,
            "leaf_nodes": kinds.leafs,
            "clients": kinds.clients,
        },
    )
