"""OPT_IDLE_005: nobody has used an account for a long time."""

from nats_insights.check import (
    INFO,
    JSZ_STREAMS,
    STATZ_TRAFFIC,
    Annotated,
    Finding,
    ListedAccount,
    Params,
    changes,
    check,
    duration,
)

_DAY = 86_400
_KEEP = 31 * _DAY


class Idle(Params, frozen=True):
    window: Annotated[
        float, duration(insights=_DAY, ge=1, le=_KEEP, description="without any sign of use")
    ] = 7.0 * _DAY


@changes(keep=_KEEP)
def activity(account: ListedAccount) -> int:
    return account.activity


@check(
    "OPT_IDLE_005",
    INFO,
    "consistency",
    needs=(STATZ_TRAFFIC, JSZ_STREAMS, activity),
    resolve_after=1,
    common=True,
)
def inactive_account(account: ListedAccount, params: Idle) -> Finding | None:
    """Nobody has used an account for a long time.

    Finds: for `window` an account had no clients, no leaf nodes and no messages on any server, and
    it keeps no streams. The agent must have looked on for that long; when a server starts, stops or
    forgets the account, the time begins anew. System accounts and `$G` are left out, and with JWTs
    an account that no server has loaded is not seen.

    Why: an account that nobody needs still has users that can log in, and permissions, imports and
    limits that somebody must keep right.

    Do: ask the owner of {account}. If it is not needed any more, revoke its users, look for other
    accounts that import from it, and remove it.

    Default: an account of people who work only on some days is not idle at every weekend.

    Catalogue: corrected: an account with streams is used, and a day is a weekend.
    """
    if account.activity < 0 or not account.past(activity).same_for(params.window):
        return None
    if account.streams:
        return None
    return Finding(
        summary=f"account {account.name} had no connections and no messages for "
        f"{params.window / _DAY:.10g} days",
        cleared=f"account {account.name} is used again",
        evidence={"messages_before": account.activity},
    )
