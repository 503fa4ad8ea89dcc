"""SERVER_901: a server does not answer."""

from nats_insights.check import WARNING, Annotated, Finding, Member, Params, check, limit


class Silence(Params, frozen=True):
    seconds: Annotated[
        float, limit("s", ge=0, description="without a reply before the finding opens")
    ] = 0.0


_HUNG = "hangs, or cannot be reached from where the agent is"
_DEAD = "is dead"


@check(
    "SERVER_901",
    WARNING,
    "health",
    needs=(),
    open_after=2,
    resolve_after=1,
    news=False,
    explains=True,
)
def server_not_answering(server: Member, params: Silence) -> Finding | None:
    """A server does not answer.

    Finds: a server that replied before, or to which another server has a link, does not reply now
    and did not announce its end. It hangs if it accepts requests and does not reply, or if only
    the agent cannot reach it. It is dead if requests to it have no responder and no server has a
    link to it. A server that was shut down properly is not reported, nor one in lame duck mode,
    which does not answer while its clients leave.

    Why: its clients have moved to other servers or wait for it, a cluster of three is one more loss
    away from an outage, and the agent evaluates the system without it.

    Do: check the process, the machine and the network of {server}. `nats-insights findings` shows
    which findings are stale because of it. If {server} will not come back, run
    `nats-insights forget {server}`. Shut servers down with `--signal ldm` or `--signal quit`, so
    that they announce it.

    Default: A server that did not answer two requests is worth knowing at once.
    """
    entry = server.entry
    if entry.state not in ("hung", "dead") or server.silent_for < params.seconds:
        return None
    if entry.goodbye == "lame duck":
        return None
    became = _DEAD if entry.state == "dead" else _HUNG
    return Finding(
        value=round(server.silent_for, 1),
        threshold=params.seconds,
        unit="s",
        summary=f"{entry.name} has not answered for {server.silent_for:.0f} s: it {became}",
        cleared=f"{entry.name} answers again",
        evidence={
            "state": entry.state,
            "last_seen_seconds": round(server.last_seen, 1),
            "last_error": entry.last_error,
        },
    )
