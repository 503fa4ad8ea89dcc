"""CONN_003: servers close connections of an account for a fault."""

from nats_insights.check import (
    CONNZ_CLOSED,
    INFO,
    STATZ,
    Account,
    Annotated,
    Finding,
    Params,
    check,
    duration,
    evidence_of_closed,
    limit,
)


class Faults(Params, frozen=True):
    closed: Annotated[
        int, limit("connections", insights=1, ge=1, description="closed for a fault in the window")
    ] = 10
    percent: Annotated[
        float,
        limit("%", insights=0.0, ge=0, le=100, description="of the connections that there are"),
    ] = 1.0
    window: Annotated[
        float, duration("<=", ge=1, le=86_400, description="before the look at the server")
    ] = 900.0


@check(
    "CONN_003",
    INFO,
    "errors",
    needs=(STATZ, CONNZ_CLOSED),
    resolve_after=1,
    news=False,
    common=True,
)
def connection_stopped(account: Account, params: Faults) -> Finding | None:
    """Servers close connections of an account for a fault.

    Finds: in the last `window` the servers closed at least `closed` connections of the account for
    a fault, and `percent` of as many as it has now. Faults are slow consumers, connections that
    are stale, violations of the protocol, too long messages and the like; not how connections end
    by the client, by the network, or because somebody decided it. Of each server the 64
    connections that it closed last are known. A client that was refused at its login is of no
    account.

    Why: messages without a stream that were on their way are lost, and a client whose fault remains
    is closed again as soon as it is back.

    Do: see which clients of {account} these are, and the reason of each: `nats-insights findings
    --code CONN_003 --format json` has them. Slow consumers must read faster, and stale connections
    are those of clients that hang or are cut off from the network. For the other reasons, look at
    what these clients send.

    Default: some stale connections are ordinary where clients are mobile or far away.

    Catalogue: corrected: only faults, and each only as long as it is recent.
    """
    if not (rows := account.seen_closed):
        return None
    faults = [row for row in rows if row.failed and row.ago <= params.window]
    share = 100 * len(faults) / max(1, account.seen_connections)
    if share < params.percent or (reached := params.reached(len(faults), "closed")) is None:
        return None
    evidence = evidence_of_closed(faults)
    ((reason, count), *_) = evidence["by_reason"]["top"]
    return reached.finding(
        f"{len(faults)} connections of account {account.name} were closed for a fault, {count} of "
        f"them as {reason}",
        servers=tuple(dict.fromkeys(row.server[-1] for row in faults)),
        **evidence,
    )
