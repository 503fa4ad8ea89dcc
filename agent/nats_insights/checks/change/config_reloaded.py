"""CHANGE_001: a server reloaded its configuration."""

from datetime import datetime

from nats_insights.check import INFO, VARZ, Annotated, Finding, Params, Server, check, duration


class Recent(Params, frozen=True):
    within: Annotated[
        float, duration("<=", gt=0, le=86_400, description="ago, by the clock of the server")
    ] = 600.0


@check("CHANGE_001", INFO, "change", needs=(VARZ,), resolve_after=1, news=False, common=True)
def config_reloaded(server: Server, params: Recent) -> Finding | None:
    """A server reloaded its configuration.

    Finds: a server reloaded its configuration within the last `within`, after its start. Each
    server says when it did, so that a reload is found though the agent did not see it, and a
    restart is none. Where five servers or more, and half of all, did so, one finding says it.

    Why: what begins to go wrong right after a reload often has its cause in it: users and
    permissions, limits, routes, certificates.

    Do: nothing, if this was meant. Else find out who reloaded {server}, compare its configuration
    with that of the other servers of its cluster, and look at what opened since then.

    Default: What a reload breaks shows within minutes.

    Catalogue: corrected: the server itself says when, so that a restart is none and a lost
    reply hides none.
    """
    varz = server.varz
    if not (varz.start and varz.now and varz.config_load_time):
        return None
    loaded = datetime.fromisoformat(varz.config_load_time)
    # At its start a server says the same of both, to the nanosecond.
    if (loaded - varz.start).total_seconds() < 0.01:
        return None
    ago = (varz.now - loaded).total_seconds()
    if (reached := params.reached(ago)) is None:
        return None
    return reached.finding(
        f"{server.name} reloaded its configuration {ago:,.0f} s ago",
        loaded=varz.config_load_time,
        started=varz.start.isoformat(),
    )
