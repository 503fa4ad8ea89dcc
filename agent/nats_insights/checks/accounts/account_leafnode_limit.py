"""ACCOUNTS_901: an account is about to reach its leaf node limit."""

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
    largest,
    limit,
)


class Fill(Params, frozen=True):
    warning: Annotated[
        float, limit("%", severity=WARNING, gt=0, le=100, description="of its limit")
    ] = 90.0
    critical: Annotated[
        float, limit("%", severity=CRITICAL, gt=0, le=100, description="of its limit")
    ] = 100.0
    min_limit: Annotated[
        int, limit("leaf nodes", ge=1, description="an account with a lower limit is ignored")
    ] = 4


@check("ACCOUNTS_901", WARNING, "saturation", needs=(STATZ, ACCOUNTZ_DETAIL), open_after=2)
def account_leafnode_limit(account: JwtAccount, params: Fill) -> Finding | None:
    """An account is about to reach its leaf node limit.

    Finds: the leaf nodes of an account on all servers together are `warning` percent of those that
    its JWT allows, critical at the limit itself. Below `min_limit` a limit is meant to be used up:
    one leaf node of one that is allowed is no finding.

    Why: at the limit every server refuses further leaf nodes of the account, and one that has lost
    its connection may not get in again until the servers agree that it was gone.

    Do: see which leaf nodes {account} has: `nats server report leafnodes`. Remove those that are
    not used any more, or raise the limit with `nsc edit account --leaf-conns`.

    Default: `warning` leaves time to raise the limit, `critical` is where leaf nodes are refused.
    """
    most, leafnodes = account.detail.leafnodes, account.leafnodes
    if most < params.min_limit or not leafnodes:
        return None
    held = sum(leafnodes.values())
    if (reached := params.reached(100 * held / most)) is None:
        return None
    return reached.finding(
        f"account {account.name} holds {held:,} of {most:,} allowed leaf nodes",
        limit=most,
        by_server=largest({server: count for (_, server), count in leafnodes.items()}),
    )
