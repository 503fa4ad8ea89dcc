"""CONN_002: a server holds messages back for clients that do not read them."""

from nats_insights.check import (
    STATZ,
    WARNING,
    Account,
    Annotated,
    Finding,
    Params,
    Row,
    check,
    limit,
    worst,
)


class Pending(Params, frozen=True):
    max_bytes: Annotated[
        int,
        limit("bytes", ">", clear=0.5, ge=1, description="that a server holds for one client"),
    ] = 1024 * 1024


@worst("pending_bytes")
def slowest(row: Row, params: Pending) -> bool:
    return row.pending_bytes > params.max_bytes


@check("CONN_002", WARNING, "saturation", needs=(STATZ, slowest), open_after=2)
def client_pending_pressure(account: Account, params: Pending) -> Finding | None:
    """Clients of an account read more slowly than they are sent to.

    Finds: a server holds more than `max_bytes` for one client of the account, in two looks in a
    row. Of each server the 16 clients with the most pending bytes are known.

    Why: what a client does not read stays in the memory of the server, which publishers may have to
    wait for. At `max_pending`, or when a write takes longer than `write_deadline`, the server cuts
    the client off as a slow consumer, and what it had not read is lost unless it is in a stream.

    Do: see which clients of {account} these are: `nats-insights findings --code CONN_002 --format
    json` names them. Have them do their work outside of the
    callback that receives messages, share it in a queue group, or subscribe to less. A client far
    away from its server may need a server that is nearer.

    Default: A client that keeps up has next to nothing pending; the server cuts off at 64 MiB.

    Catalogue: corrected: two looks in a row, so that one burst is no finding.
    """
    slow = [row for row in account.seen_rows(slowest) if row.pending_bytes > params.max_bytes]
    if not slow:
        return None
    first = slow[0]
    others = f", the slowest of {len(slow)}" if len(slow) > 1 else ""
    return Finding(
        value=first.pending_bytes,
        threshold=params.max_bytes,
        unit="bytes",
        summary=f"{first.server[-1]} holds {first.pending_bytes:,} bytes for a client of account "
        f"{account.name}{others}",
        evidence={"connections": slowest.named(slow)},
        servers=tuple(dict.fromkeys(row.server[-1] for row in slow)),
    )
