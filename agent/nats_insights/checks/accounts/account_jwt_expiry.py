"""ACCOUNTS_902: the JWT of an account expires soon."""

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


class Left(Params, frozen=True):
    warning_days: Annotated[
        float, limit("days", "<", severity=WARNING, ge=0, le=3650, description="before it expires")
    ] = 14.0
    critical_days: Annotated[
        float, limit("days", "<", severity=CRITICAL, ge=0, le=3650, description="before it expires")
    ] = 3.0
    min_share: Annotated[
        float, limit("%", "<", ge=0, le=100, description="of its life, with more it is in time")
    ] = 33.0


@check("ACCOUNTS_902", WARNING, "health", needs=(STATZ, ACCOUNTZ_DETAIL), news=False, common=True)
def account_jwt_expiry(account: JwtAccount, params: Left) -> Finding | None:
    """The JWT of an account expires soon.

    Finds: the JWT of an account that servers have loaded expires in fewer than `warning_days`, or
    has expired; critical below `critical_days`. As JWTs that live for hours or days are renewed in
    time, less than `min_share` percent of its life must be left, too. The JWTs of users are not
    looked at: servers hide some of them, and theirs are often meant to be short.

    Why: when the JWT of an account expires, the servers close the connections of all its clients
    and leaf nodes at once, and let none in again until they have a new JWT. What other accounts
    import from it stops as well.

    Do: give {account} a new JWT with `nsc edit account --expiry`, and push it to the servers with
    `nsc push`. Servers with a memory resolver take it from their configuration at a reload.

    Default: two weeks include a time in which nobody is at work, three days no more than a weekend.
    """
    if not account.detail.expires:
        return None
    days = account.days_left
    if days > account.detail.life_days * params.min_share / 100:
        return None
    if (reached := params.reached(days)) is None:
        return None
    left = f"{abs(round(days, 1)):g} days"
    expires = f"expires in {left}" if days >= 0 else f"expired {left} ago"
    return reached.finding(f"the JWT of account {account.name} {expires}", expires=account.expires)
