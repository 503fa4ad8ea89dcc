"""AGENT_007: half of the servers or more fell silent at once."""

from __future__ import annotations

from nats_insights.check import WARNING, Agent, Finding, Params, check


class Nothing(Params, frozen=True):
    """It has no parameters."""


@check("AGENT_007", WARNING, "health", needs=(), news=False)
def agent_isolated(agent: Agent, params: Nothing) -> Finding | None:
    """The agent is cut off from half of the servers or more.

    Finds: half of the known servers or more do not take requests any more, none of them said
    goodbye, and no server that answers has a link to them. It is then more likely that the agent
    and the server that it is connected to are cut off than that all of these servers died.

    Why: until they answer again nothing is known of the system. No finding opens or resolves, the
    verdict is unknown, and what was open stays open and is marked as stale.

    Do: look at the network between the agent's server and the servers that the evidence names. If
    they are gone for good, say so with `nats-insights forget NAME` for each. In a system of two
    servers the loss of one is half of all: the agent cannot tell it from a cut.
    """
    if not agent.unreachable:
        return None
    silent = len(agent.unreachable)
    return Finding(
        value=silent,
        threshold=agent.known / 2,
        unit="servers",
        summary=f"{silent} of {agent.known} servers fell silent at once: "
        "the agent takes itself to be cut off",
        cleared="the agent reaches more than half of the servers again",
        evidence={"servers": agent.unreachable[:10], "left_out": max(0, silent - 10)},
    )
