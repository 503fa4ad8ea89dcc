"""CHANGE_003: accounts were added to a server or removed from it."""

from nats_insights.check import (
    ACCOUNTZ,
    INFO,
    Annotated,
    Finding,
    Params,
    Server,
    changes,
    check,
    duration,
)

_KEEP = 86_400
_FEW = 10


class Recent(Params, frozen=True):
    within: Annotated[
        float, duration("<=", gt=0, le=_KEEP, description="ago, since the agent saw it")
    ] = 900.0


@changes(keep=_KEEP)
def accounts(server: Server) -> tuple[str, ...]:
    return server.reply(ACCOUNTZ).configured


@check(
    "CHANGE_003",
    INFO,
    "change",
    needs=(ACCOUNTZ, accounts),
    resolve_after=1,
    news=False,
    common=True,
)
def accounts_changed(server: Server, params: Recent) -> Finding | None:
    """Accounts were added to a server or removed from it.

    Finds: within the last `within` a server listed other accounts than before, by a reload or a
    restart; its first reply is none. Accounts with JWTs are left out: a server loads them when they
    are first used and forgets them later. Where five servers or more, and half of all, changed, one
    finding says it.

    Why: clients of an account that was removed are disconnected, and imports from it end. An
    account that only some servers have works for some clients and not for others.

    Do: nothing, if this was meant. Else compare the `accounts` of the configuration of {server}
    with those of the other servers of its cluster.

    Default: two looks at the accounts see it, which the agent asks for once in five minutes.

    Catalogue: corrected: a lost reply removes nothing, and an account that is loaded is not new.
    """
    past = server.past(accounts)
    ago = past.last_change
    if ago is None or (reached := params.reached(ago)) is None:
        return None
    now, before = set(past.now), set(past.before)
    added, removed = sorted(now - before), sorted(before - now)
    return reached.finding(
        f"the accounts of {server.name} changed {ago:,.0f} s ago: {len(added):,} added, "
        f"{len(removed):,} removed",
        added=added[:_FEW],
        removed=removed[:_FEW],
        accounts=len(now),
    )
