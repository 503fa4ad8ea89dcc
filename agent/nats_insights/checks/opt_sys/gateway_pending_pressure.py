"""OPT_SYS_014: a server holds messages back for another cluster."""

from nats_insights.check import GATEWAYZ, WARNING, Annotated, Finding, Gateway, Params, check, limit

MIB = 1024 * 1024


class Pending(Params, frozen=True):
    max_bytes: Annotated[
        int,
        limit("bytes", ">", clear=0.5, insights=MIB, ge=1, description="that wait to be sent"),
    ] = 8 * MIB


@check("OPT_SYS_014", WARNING, "performance", needs=(GATEWAYZ,), open_after=2)
def gateway_pending_pressure(gateway: Gateway, params: Pending) -> Finding | None:
    """A gateway is slower than what is sent over it.

    Finds: more than `max_bytes` wait on the outbound connection of a gateway, in two evaluations in
    a row.

    Why: a server sends all messages of all accounts to another cluster over this one connection, so
    all of them are late. At three quarters of `max_pending` the server stops reading from the
    clients that publish.

    Do: compare what {server} sends to {remote} with the bandwidth between them, and look at the
    server at the other end. One TCP connection carries its window per round trip at most: raise the
    limits of the socket buffers on both machines, or spread the publishers over more servers of
    {cluster}, each of which has a connection of its own.

    Default: eight messages of the largest default size, and an eighth of the default `max_pending`.

    Catalogue: corrected: 8 MiB in two looks, since one large message is 1 MiB.
    """
    outbound = gateway.outbound
    if outbound is None or outbound.pending_bytes <= params.max_bytes:
        return None
    waiting = outbound.pending_bytes
    return Finding(
        value=waiting,
        threshold=params.max_bytes,
        unit="bytes",
        summary=f"{gateway.server.name} holds {waiting:,} bytes that {gateway.remote} is to get",
        cleared=f"{gateway.server.name} no longer holds many bytes for {gateway.remote}",
        evidence={"rtt": outbound.rtt},
    )
