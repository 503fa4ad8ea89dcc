"""OPT_SYS_005: a server holds messages back for other servers of its cluster."""

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
)

MIB = 1024 * 1024


class Pending(Params, frozen=True):
    max_bytes: Annotated[
        int,
        limit("bytes", ">", clear=0.5, insights=MIB, ge=1, description="on one connection"),
    ] = 8 * MIB


@check("OPT_SYS_005", WARNING, "performance", needs=(ROUTEZ_DETAIL,), open_after=2)
def route_pending_pressure(server: Server, params: Pending) -> Finding | None:
    """A route is slower than what is sent over it.

    Finds: more than `max_bytes` wait in the server to be sent on one connection of a route, in two
    evaluations in a row.

    Why: what waits is late, and fills the memory of the server. At three quarters of `max_pending`
    the server makes the clients that publish wait.

    Do: look at the CPU and the network of {server} and of the server that its messages wait
    for, then at the network between them. Spread the traffic over more connections with
    `pool_size`, or give a busy account a route of its own with `accounts`, both in the
    `cluster` block of all servers.

    Default: eight messages of the largest default size, and an eighth of the default `max_pending`.

    Catalogue: corrected: 8 MiB in two evaluations, since one large message is 1 MiB.
    """
    routes = server.reply(ROUTEZ_DETAIL).routes
    if not routes or max([one.pending_size for one in routes]) <= params.max_bytes:
        return None
    worst = max(routes, key=lambda one: one.pending_size)
    waiting: dict[str, int] = {}
    for one in routes:
        waiting[one.remote_name] = max(one.pending_size, waiting.get(one.remote_name, 0))
    return Finding(
        value=worst.pending_size,
        threshold=params.max_bytes,
        unit="bytes",
        summary=f"{server.name} holds {worst.pending_size:,} bytes that {worst.remote_name} is "
        "to get",
        evidence={
            "account": worst.account,
            "rtt": worst.rtt,
            **largest({name: held for name, held in waiting.items() if held > params.max_bytes}),
        },
    )
