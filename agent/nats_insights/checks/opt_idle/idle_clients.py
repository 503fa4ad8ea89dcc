"""OPT_IDLE_007: clients of an account have never sent or received anything."""

from nats_insights.check import (
    INFO,
    STATZ,
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

_ROWS = 64


class Unused(Params, frozen=True):
    idle: Annotated[
        float, duration(">", insights=300.0, gt=0, description="without any message")
    ] = 3600.0
    clients: Annotated[
        int,
        limit("clients", clear=0.8, insights=1, ge=1, description="of the account that are unused"),
    ] = 20


@worst("idle", rows=_ROWS, every=3600.0)
def unused(row: Row, params: Unused) -> bool:
    never = not (row.in_msgs or row.out_msgs or row.subscriptions)
    return never and row.idle > params.idle


@check("OPT_IDLE_007", INFO, "consistency", needs=(STATZ, unused), resolve_after=1, common=True)
def idle_clients(account: Account, params: Unused) -> Finding | None:
    """Clients of an account are connected and never used.

    Finds: at least `clients` clients of the account are idle for longer than `idle`, never sent or
    received a message, and subscribe to nothing. A client that has subscribed waits for messages
    and is not counted. Of each server the 64 clients that are idle longest are known.

    Why: each connection costs the server memory and a file descriptor, and counts towards the
    limits of the account and of the server. Often a program opens more connections than it uses,
    or opens a new one and forgets the last.

    Do: see which clients of {account} these are: `nats-insights findings --code OPT_IDLE_007
    --format json` names them. Let a program open its connection when it first needs it, and share
    one among its parts.

    Default: pools and programs on standby hold some unused connections, so fewer than 20 are left
    alone.

    Catalogue: corrected: per account and for many clients, and not those that subscribe and wait.
    """
    rows = [row for row in account.seen_rows(unused) if unused.matters(row, params)]
    if (reached := params.reached(len(rows), "clients")) is None:
        return None
    return reached.finding(
        f"{len(rows)} clients of account {account.name} are connected and were never used",
        servers=tuple(dict.fromkeys(row.server[-1] for row in rows)),
        connections=unused.named(rows),
    )
