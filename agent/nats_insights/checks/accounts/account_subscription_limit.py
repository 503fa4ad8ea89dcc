"""ACCOUNTS_006: clients of an account are about to reach their subscription limit."""

from nats_insights.check import (
    ACCOUNTZ_DETAIL,
    STATZ,
    WARNING,
    Annotated,
    Finding,
    JwtAccount,
    Params,
    Row,
    check,
    limit,
    worst,
)


class Fill(Params, frozen=True):
    percent: Annotated[
        float, limit("%", clear=0.95, gt=0, le=100, description="of the limit of a connection")
    ] = 90.0
    min_subscriptions: Annotated[
        int, limit("subscriptions", ge=1, description="a client with fewer is ignored")
    ] = 100


@worst("subscriptions", every=600.0)
def most_subscribed(row: Row, params: Fill) -> bool:
    return row.subscriptions >= params.min_subscriptions


@check(
    "ACCOUNTS_006",
    WARNING,
    "saturation",
    needs=(STATZ, ACCOUNTZ_DETAIL, most_subscribed),
    open_after=2,
)
def account_subscription_limit(account: JwtAccount, params: Fill) -> Finding | None:
    """Clients of an account are about to reach their subscription limit.

    Finds: a client has `percent` of the subscriptions that one connection of its account may have,
    or that its own JWT allows if that is fewer. Of each server the 16 clients with the most
    subscriptions are known, and those with fewer than `min_subscriptions` are ignored. The JWT of a
    bearer, and limits in configuration files, are not shown by servers.

    Why: beyond the limit the server refuses subscriptions of the client, which stays connected
    without the messages that it needs.

    Do: see why these clients of {account} have so many: a reply subject for each request, or one
    subject for each object. Use one inbox for all requests and wildcards, or raise the limit with
    `nsc edit account --subscriptions`.

    Default: the last tenth is time to act, and clients with a hundred are rarely limited by design.

    Catalogue: corrected: the limit binds each connection, so it is not compared with all of them.
    """
    of_account, near = account.detail.subscriptions, []
    for row in account.seen_rows(most_subscribed):
        limits = [most for most in (of_account, row.may_subscribe) if most > 0]
        if limits and row.subscriptions >= params.min_subscriptions:
            near.append((100 * row.subscriptions / min(limits), min(limits), row))
    if not near:
        return None
    share, most, first = max(near, key=lambda one: one[0])
    if (reached := params.reached(share, "percent")) is None:
        return None
    rows = [row for part, _, row in near if part >= reached.threshold]
    return reached.finding(
        f"a client of account {account.name} on {first.server[-1]} has {first.subscriptions:,} of "
        f"{most:,} allowed subscriptions",
        servers=tuple(dict.fromkeys(row.server[-1] for row in rows)),
        connections=most_subscribed.named(rows),
    )
