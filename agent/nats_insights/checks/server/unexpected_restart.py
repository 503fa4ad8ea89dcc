"""SERVER_008: a server crashed, or was killed, and runs again."""

from nats_insights.check import VARZ, WARNING, Annotated, Finding, Params, Server, check, duration


class Recent(Params, frozen=True):
    within: Annotated[
        float, duration("<=", gt=0, le=86_400, description="ago, by the clock of the server")
    ] = 3600.0


@check("SERVER_008", WARNING, "change", needs=(VARZ,), resolve_after=1, news=False, common=True)
def unexpected_restart(server: Server, params: Recent) -> Finding | None:
    """A server restarted without having announced its end.

    Finds: a server runs for less than `within`, and its last process, of the same version, ended
    without the event that servers publish when they shut down or enter lame duck mode: it crashed,
    was killed, or lost its machine. The agent must have been connected when that happened. Where
    five servers or more, and half of all, did so, one finding says it.

    Why: messages that only waited in its memory are lost, its clients reconnected all at once, and
    what happened once without a known reason will happen again.

    Do: look at the end of the last log of {server}, in the log of its machine for the out-of-memory
    killer, and in the events of its container. Stop servers with `nats-server --signal ldm` or
    `quit`, and give their containers time to end.

    Default: an hour is long enough to be seen, and short enough for what is over.

    Catalogue: corrected: a restart that the server announced was meant, and one that it did not is
    found after any outage; a warning, since the server is back.
    """
    if not server.crashed or (reached := params.reached(server.settled)) is None:
        return None
    return reached.finding(
        f"{server.name} restarted {server.settled:,.0f} s ago without having announced its end",
        cleared=f"{server.name} has not restarted unannounced lately",
        version=server.version,
    )
