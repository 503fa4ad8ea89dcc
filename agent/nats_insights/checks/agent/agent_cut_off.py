"""AGENT_001: a server closed the agent's connection."""

from collections import Counter

from nats_insights.check import WARNING, Agent, Annotated, Finding, Params, check, largest, limit


class CutOffs(Params, frozen=True):
    most: Annotated[
        int, limit("times", ">", ge=0, description="tolerated in the last 20 epochs")
    ] = 0


@check("AGENT_001", WARNING, "health", needs=(), news=False)
def agent_cut_off(agent: Agent, params: CutOffs) -> Finding | None:
    """A server closed the agent's connection as a slow consumer.

    Finds: in the last 20 epochs the server that the agent was connected to closed the connection
    more than `most` times, because more than its `max_pending` was waiting for the agent, or
    because the agent took longer than its `write_deadline` to read. This is about the agent, not
    the system.

    Why: the epoch is lost each time, and while this repeats no finding opens or resolves. The agent
    halves the bytes that it requests at a time after each such close, and raises them again later.

    Do: give the agent more CPU, or a faster network to its server. If the server has a small
    `max_pending`, lower `window` in the section `[gather]`. The log of the server has a line about
    a slow consumer for each closed connection.

    Default: The agent asks for less than a server allows, so that one such close is already a
    fault.
    """
    times = len(agent.cut_offs)
    if times <= params.most:
        return None
    return Finding(
        value=times,
        threshold=params.most,
        unit="times",
        summary=f"the agent was cut off {times} times in its last {agent.MEMORY} epochs, "
        f"last by {agent.cut_offs[-1]}",
        cleared=f"the agent was not cut off in its last {agent.MEMORY} epochs",
        evidence={"by_server": largest(Counter(agent.cut_offs)), "window_bytes": agent.window},
    )
