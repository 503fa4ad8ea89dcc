"""SERVER_904: the clock of a server is wrong."""

from nats_insights.check import VARZ, WARNING, Annotated, Finding, Params, Server, check, limit


class Offset(Params, frozen=True):
    seconds: Annotated[
        float, limit("s", gt=0, clear=0.8, description="ahead of the agent's clock, or behind it")
    ] = 5.0


@check("SERVER_904", WARNING, "consistency", needs=(VARZ,), open_after=3, news=False, common=True)
def clock_offset(server: Server, params: Offset) -> Finding | None:
    """The clock of a server is wrong.

    Finds: in three evaluations in a row the clock of a server is `seconds` ahead of that of the
    agent, or behind it. A server reads its clock at some moment before its reply comes, so the time
    that the agent waited for all replies is deducted where it makes a difference. If it is the
    clock of the agent that is wrong, that of every server seems to be.

    Why: credentials are refused before their time or accepted after it, messages get wrong
    timestamps, expire early or late when another server takes over their stream, and logs of
    several servers cannot be read together.

    Do: let the machine of {server} synchronise its clock with chrony or another NTP client, and
    check that this still works after the machine was suspended or moved. If all servers are
    reported, look at the machine of the agent.

    Default: synchronised clocks differ by less than a tenth of a second.
    """
    clock = server.clock
    if (reached := params.reached(clock.least)) is None:
        return None
    side = "ahead of" if clock.ahead > 0 else "behind"
    return reached.finding(
        f"the clock of {server.name} is {clock.least:,.1f} s {side} that of the agent",
        cleared=f"the clock of {server.name} agrees with that of the agent",
        precision_seconds=round(clock.precision, 3),
    )
