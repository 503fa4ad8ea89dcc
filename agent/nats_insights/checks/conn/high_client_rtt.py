"""CONN_001: clients of an account are far away from their servers."""

from nats_insights.check import (
    STATZ,
    WARNING,
    Account,
    Annotated,
    Finding,
    Params,
    Row,
    check,
    duration,
    limit,
    worst,
)


class Far(Params, frozen=True):
    max_rtt: Annotated[
        float,
        duration(">", clear=0.8, insights=0.1, gt=0, description="round-trip time of one client"),
    ] = 0.5
    clients: Annotated[
        int, limit("clients", insights=1, ge=1, le=16, description="with a longer time")
    ] = 3


@worst("rtt", every=600.0)
def farthest(row: Row, params: Far) -> bool:
    return row.rtt > params.max_rtt


@check(
    "CONN_001",
    WARNING,
    "performance",
    needs=(STATZ, farthest),
    open_after=2,
    news=False,
    common=True,
)
def high_client_rtt(account: Account, params: Far) -> Finding | None:
    """Clients of an account have a high round-trip time.

    Finds: in two looks in a row the round-trip time of at least `clients` clients of the account
    exceeds `max_rtt`. Of each server the 16 clients with the highest are known. A server measures
    it when a client connects and when the client is silent, else once an hour.

    Why: each request takes a round trip longer, and the messages that a server may send before an
    acknowledgement limit the throughput. A client that is near and takes this long is overloaded.

    Do: see which clients of {account} these are: `nats-insights findings --code CONN_001 --format
    json` names them. Let clients that are far away connect to a server near them. Where the network
    is near, look at the CPU of the client, which answers late because it is busy.

    Default: half a second is more than between any two continents, and a single client may have
    been busy while it was measured.

    Catalogue: corrected: per account, for several clients and in two looks, not for each client.
    """
    far = [row for row in account.seen_rows(farthest) if row.rtt > params.max_rtt]
    if len(far) < params.clients:
        return None
    return Finding(
        value=round(far[0].rtt, 3),
        threshold=params.max_rtt,
        unit="s",
        summary=f"{len(far)} clients of account {account.name} have a high round-trip time, up to "
        f"{far[0].rtt:,.3g} s",
        evidence={"connections": farthest.named(far)},
        servers=tuple(dict.fromkeys(row.server[-1] for row in far)),
    )
