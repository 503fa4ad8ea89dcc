"""AGENT_001: a server cut the agent off."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from nats_insights.check import WARNING, Agent, Finding, Params, check, largest, limit


class CutOffs(Params, frozen=True):
    most: Annotated[
        int, limit("times", ge=0, description="in the last 20 epochs, to be exceeded")
    ] = 0


@check("AGENT_001", WARNING, "health", needs=(), news=False)
def agent_cut_off(agent: Agent, params: CutOffs) -> Finding | None:
    """A server cut the agent off as a slow consumer.

    Finds: more than `most` times in the last 20 epochs the server that the agent was connected to
    ended the connection because it owed the agent more than its `max_pending`, or because the
    agent took longer than its `write_deadline` to read. This is about the agent, not the system.

    Why: the epoch is lost each time, and while it repeats nothing is found. The agent halves what
    it asks for at a time after each cut-off, and asks for more again while all goes well.

    Do: give the agent more CPU, or a shorter way to its server. Where the server has a small
    `max_pending`, lower `window` in the section `[gather]`. The server's log has a line about a
    slow consumer for each cut-off.
    """
    times = len(agent.cut_offs)
    if times <= params.most:
        return None
    return Finding(
        value=times,
        threshold=params.most,
        unit="times",
        summary=f"the agent was cut off {times} times in its last {agent.MEMORY} epochs, "
        f"at last by {agent.cut_offs[-1]}",
        cleared=f"the agent was not cut off in its last {agent.MEMORY} epochs",
        evidence={"by_server": largest(Counter(agent.cut_offs)), "window_bytes": agent.window},
    )
