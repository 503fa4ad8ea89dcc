"""USER_902: the clients of one user come back again and again."""

from collections.abc import Iterable

from nats_insights.check import (
    CONNZ_CLOSED,
    INFO,
    WARNING,
    Annotated,
    Closed,
    ClosedUser,
    Finding,
    Params,
    check,
    duration,
    evidence_of_closed,
    limit,
)


class Storm(Params, frozen=True):
    failed: Annotated[
        float,
        limit("/min", severity=WARNING, clear=0.8, gt=0, description="closed for a fault"),
    ] = 10.0
    ended: Annotated[
        float, limit("/min", severity=INFO, clear=0.8, gt=0, description="that ended anyhow")
    ] = 60.0
    lasted: Annotated[
        float, duration("<", gt=0, description="connections that were there for a shorter time")
    ] = 60.0
    window: Annotated[
        float, duration("<=", ge=1, le=86_400, description="before the look at the server")
    ] = 300.0


def per_minute(rows: Iterable[Closed], window: float) -> float:
    """Connections per minute of the window; of the time that a server lists, if that is less."""
    # Nor of less than a minute: many may end at once.
    return round(sum([60 / min(window, max(60.0, row.reach)) for row in rows]), 6)


@check("USER_902", WARNING, "errors", needs=(CONNZ_CLOSED,), open_after=2, news=False)
def reconnect_storm(user: ClosedUser, params: Storm) -> Finding | None:
    """The clients of one user come back again and again.

    Finds: in two looks in a row, per minute of the last `window`, servers closed `failed`
    connections of the user for a fault, or `ended` connections ended for any reason. Only those
    count that were there for less than `lasted`. Of each server the 64 connections that it
    closed last are known.

    Why: each connection costs a TLS handshake, a login and the exchange of its subscriptions with
    all other servers. Clients that come back at once do no work, and keep others from connecting.

    Do: see for which reasons the connections of {user} in {account} ended: `nats-insights findings
    --code USER_902 --format json` has them. For Duplicate Client ID, give each
    MQTT client an id of its own. For a fault such as Maximum Message Payload Exceeded, correct what
    the client sends. For Client Closed, look whether the program crashes, or opens a connection for
    each request: let it keep one. Let clients wait longer between two attempts.

    Default: one client that is cut off for a fault comes back some 20 times per minute; programs
    that connect for each task reach 60 only if they are busy.
    """
    if len(user.closed) < 2:
        return None
    rows = [row for row in user.closed if row.ago <= params.window and row.lasted < params.lasted]
    failed = [row for row in rows if row.failed]
    reached = params.reached(per_minute(failed, params.window), "failed")
    if reached is None:
        failed, reached = rows, params.reached(per_minute(rows, params.window), "ended")
    if reached is None:
        return None
    evidence = evidence_of_closed(failed)
    ((reason, count), *_) = evidence["by_reason"]["top"]
    return reached.finding(
        f"clients of user {user.name} of account {user.account} came back {reached.value:,.0f} "
        f"times per minute; {count} of the last {len(failed)} connections ended as {reason}",
        servers=tuple(dict.fromkeys(row.server[-1] for row in failed)),
        **evidence,
    )
