"""ACCOUNTS_001: an account is about to reach its connection limit."""

from nats_insights.check import (
    ACCOUNTZ_DETAIL,
    CRITICAL,
    STATZ,
    WARNING,
    Annotated,
    Finding,
    JwtAccount,
    Params,
    check,
    limit,
)


class Fill(Params, frozen=True):
    warning: Annotated[
        float, limit("%", clear=0.95, severity=WARNING, gt=0, le=100, description="of its limit")
    ] = 90.0
    critical: Annotated[
        float, limit("%", clear=0.95, severity=CRITICAL, gt=0, le=100, description="of its limit")
    ] = 100.0


@check(
    "ACCOUNTS_001",
    WARNING,
    "saturation",
    needs=(STATZ, ACCOUNTZ_DETAIL),
    clients="connections",
    open_after=2,
)
def account_connection_limit(account: JwtAccount, params: Fill) -> Finding | None:
    """An account is about to reach its connection limit.

    Finds: the clients of an account on all servers together are `warning` percent of the
    connections that its JWT allows, critical at the limit itself. As servers do, it adds the leaf
    nodes of the account on the server that has most of them. Servers do not tell the limits of
    accounts in configuration files.

    Why: at the limit every server refuses further clients of the account, and where several have
    accepted one at the same time, they close the newest connections again.

    Do: see which users of {account} hold most connections, and stop the clients that leak them.
    Else raise the limit with `nsc edit account --conns`, and push the JWT to the servers.

    Default: `warning` leaves time to raise the limit, `critical` is where clients are refused.

    Catalogue: corrected: sums over all servers, which enforce the limit together.
    """
    most = account.detail.connections
    if most <= 0:
        return None
    clients, leafnodes = account.seen_connections, max(account.leafnodes.values(), default=0)
    held = clients + leafnodes
    if (reached := params.reached(100 * held / most)) is None:
        return None
    return reached.finding(
        f"account {account.name} holds {held:,} of {most:,} allowed connections",
        clients=clients,
        leafnodes=leafnodes,
        limit=most,
    )
