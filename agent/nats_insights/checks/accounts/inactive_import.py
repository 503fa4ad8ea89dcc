"""ACCOUNTS_003: an import of an account is not in force."""

from nats_insights.check import (
    ACCOUNTZ_DETAIL,
    CRITICAL,
    STATZ,
    Annotated,
    Finding,
    JwtAccount,
    Params,
    check,
    limit,
)

_NAMED = 10


class Inactive(Params, frozen=True):
    imports: Annotated[int, limit("imports", ge=1, description="that are not in force")] = 1


@check("ACCOUNTS_003", CRITICAL, "consistency", needs=(STATZ, ACCOUNTZ_DETAIL), open_after=12)
def inactive_import(account: JwtAccount, params: Inactive) -> Finding | None:
    """An import of an account is not in force.

    Finds: imports in the JWT of an account, `imports` or more, are not in force on the server that
    was asked: the other account is not found or has expired, does not export the subject, or
    accepts no token of this account for it. An import that servers could not set up is not in the
    list that they show as in force, so that list is compared with the JWT.

    Why: clients of the account get no messages of an imported stream, and nobody answers requests
    to an imported service. Neither side is told why.

    Do: see the imports of {account} with `nsc describe account` beside the exports of the other
    account. Import again what it exports now, get a new activation token where the old one has
    expired or its signing key was replaced, and delete imports that nobody needs.

    Default: each import is in the JWT because somebody needs it.

    Catalogue: wider: also finds imports that servers never set up, which they do not call invalid.
    """
    inactive = account.detail.inactive
    if not inactive or (reached := params.reached(len(inactive))) is None:
        return None
    named = [
        {"type": one.type, "subject": one.subject, "account": one.account, "why": why}
        for one in inactive[:_NAMED]
        for why in (account.why_inactive(one),)
    ]
    first = named[0]
    why = f" ({first['why']})" if first["why"] else ""
    some = "imports that are" if len(inactive) > 1 else "import that is"
    return reached.finding(
        f"account {account.name} has {len(inactive):,} {some} not in force: "
        f"{first['type']} {first['subject']}{why}{', ...' if len(inactive) > 1 else ''}",
        imports={"top": named, "left_out": len(inactive) - len(named)},
    )
