"""SERVER_902: the certificate of a listener expires soon."""

from nats_insights.check import (
    CRITICAL,
    VARZ,
    WARNING,
    Annotated,
    Finding,
    Listener,
    Params,
    check,
    limit,
)


class Left(Params, frozen=True):
    warning_days: Annotated[
        float, limit("days", "<", severity=WARNING, ge=0, le=3650, description="before it expires")
    ] = 30.0
    critical_days: Annotated[
        float, limit("days", "<", severity=CRITICAL, ge=0, le=3650, description="before it expires")
    ] = 7.0


@check("SERVER_902", WARNING, "health", needs=(VARZ,), news=False, common=True)
def certificate_expiry(listener: Listener, params: Left) -> Finding | None:
    """The certificate of a listener expires soon.

    Finds: the TLS certificate of a listener (client, websocket, mqtt, leafnode, gateway, cluster)
    expires in fewer than `warning_days`, or has expired; critical below `critical_days`. The clock
    is the server's own. Only the certificate of the server itself is looked at, not those that
    issued it. Servers before 2.11.12 and 2.12.0 to 2.12.3 do not tell the date.

    Why: from that moment on no client and no server can connect to this listener. Connections that
    exist stay, so that nothing is noticed until the next reconnect, and then by all at once.

    Do: renew the certificate that {server} uses for {listener}, and reload the server with
    `nats-server --signal reload`. If the finding stays, restart it, one server of the cluster after
    another.

    Default: Public certificates live 90 days or less and are renewed at 30; a week is left to
    act by hand.
    """
    ends, now = listener.certificate_ends, listener.server.varz.now
    if ends is None or now is None:
        return None
    days = (ends - now).total_seconds() / 86_400
    if (reached := params.reached(days)) is None:
        return None
    left = f"{abs(round(days, 1)):g} days"
    expires = f"expires in {left}" if days >= 0 else f"expired {left} ago"
    return reached.finding(
        f"the certificate of the {listener.name} listener of {listener.server.name} {expires}, "
        f"on {ends:%Y-%m-%d}",
        not_after=ends.isoformat(),
    )
