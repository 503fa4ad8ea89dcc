"""SERVER_901: a server does not answer."""

from __future__ import annotations

from typing import Annotated

from nats_insights.check import WARNING, Finding, Member, Params, check, limit


class Silence(Params, frozen=True):
    seconds: Annotated[
        float, limit("s", ge=0, description="of silence since it first did not answer")
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

    Finds: a server that answered before, or that another server has a link to, and that does not
    answer now, without having said goodbye. It hangs if it takes requests and does not answer, or
    if only the agent cannot reach it; it is dead if nobody takes requests for it and no server has
    a link to it. A server that was shut down in good order is not reported.

    Why: its clients have moved to other servers or wait for it, a cluster of three is one more loss
    away from an outage, and what the agent says of the system is said without it.

    Do: look at the process, the machine and the network of {server}. `nats-insights findings` shows
    what is stale because of it. If {server} is gone for good, say so with
    `nats-insights forget {server}`; shut down a server with `--signal ldm` or `--signal quit`, so
    that it says goodbye.
    """
    entry = server.entry
    if entry.state not in ("hung", "dead") or server.silent_for < params.seconds:
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
