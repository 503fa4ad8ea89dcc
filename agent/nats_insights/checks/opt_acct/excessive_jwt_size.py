"""OPT_ACCT_002: the JWT of an account is very large."""

from nats_insights.check import (
    ACCOUNTZ_DETAIL,
    STATZ,
    WARNING,
    Annotated,
    Finding,
    JwtAccount,
    Params,
    check,
    limit,
)


class Size(Params, frozen=True):
    max_size: Annotated[
        float, limit("KiB", ">", clear=0.9, gt=0, description="of the JWT, to be exceeded")
    ] = 64.0


@check("OPT_ACCT_002", WARNING, "saturation", needs=(STATZ, ACCOUNTZ_DETAIL))
def excessive_jwt_size(account: JwtAccount, params: Size) -> Finding | None:
    """The JWT of an account is very large.

    Finds: the JWT of an account that servers have loaded has more than `max_size` KiB.

    Why: every server fetches, verifies and keeps it, and each change sends all of it to all of
    them. A JWT that grows on and on reaches the largest message that servers accept, and then it
    cannot be changed any more.

    Do: see what {account} has most of, which `nsc describe account` shows: remove revocations of
    users whose JWTs have expired anyway, imports that are not used, and exports that a wildcard can
    replace. Give one tenant or one application an account of its own.

    Default: hundreds of imports still fit, and the largest message is sixteen times as large.

    Catalogue: same.
    """
    detail = account.detail
    size = detail.size / 1024
    if size <= params.max_size or (reached := params.reached(size)) is None:
        return None
    return reached.finding(
        f"the JWT of account {account.name} has {size:,.1f} KiB",
        imports=len(detail.imports),
        exports=len(detail.exports),
    )
