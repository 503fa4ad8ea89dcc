"""ACCOUNTS_002: servers cut off clients of an account that read too slowly."""

from collections.abc import Mapping

from nats_insights.check import (
    CRITICAL,
    STATZ,
    WARNING,
    Account,
    Annotated,
    Finding,
    Params,
    check,
    duration,
    largest,
    limit,
    samples,
)

_KEEP = 600


class Slow(Params, frozen=True):
    warning: Annotated[
        int,
        limit("slow consumers", severity=WARNING, ge=1, description="cut off within the window"),
    ] = 1
    critical: Annotated[
        int,
        limit(
            "slow consumers",
            severity=CRITICAL,
            insights=1,
            ge=1,
            description="cut off within the window",
        ),
    ] = 10
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="over which slow consumers are counted")
    ] = 300.0


@samples(keep=_KEEP, every=10)
def slow(account: Account) -> Mapping[tuple[str, ...], int]:
    return account.slow_consumers


@check("ACCOUNTS_002", WARNING, "performance", needs=(STATZ, slow), resolve_after=1)
def account_slow_consumers(account: Account, params: Slow) -> Finding | None:
    """Servers cut off clients of an account that read too slowly.

    Finds: in the last `window` the servers counted `warning` slow consumers or more in an account,
    over all servers together; critical from `critical`. Each server counts from its start, and
    only what was counted while the agent looked on is told.

    Why: the server drops what waits for a slow consumer, and its connection. Messages without a
    stream behind them are lost, and a client that reconnects is soon as slow as before.

    Do: look in the logs of the servers for the slow consumers of {account}. Have the client read in
    one task and work in others, share the subjects among several with a queue group, or let it pull
    from a stream. If it is only slow at times, raise `max_pending`.

    Default: One client that was cut off has lost messages; ten in five minutes are more than
    one slow program.

    Catalogue: wider: one window over all servers in place of one epoch, and a warning before it
    is critical.
    """
    counted = account.past(slow)
    seconds = min(params.window, counted.known_for)
    cut_off = round(counted.growth(seconds))
    if (reached := params.reached(cut_off)) is None:
        return None
    so_far = {name: count for (_, name), count in account.slow_consumers.items() if count}
    return reached.finding(
        f"{cut_off:,} slow consumers of account {account.name} in the last {seconds:,.0f} s",
        cleared=f"no more slow consumers of account {account.name}",
        since_start=largest(so_far),
        seconds=round(seconds, 1),
    )
