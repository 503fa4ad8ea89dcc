"""AGENT_007: half of the servers or more stopped replying at once."""

from nats_insights.check import WARNING, Agent, Finding, check


@check("AGENT_007", WARNING, "health", needs=(), news=False)
def agent_isolated(agent: Agent) -> Finding | None:
    """The agent cannot reach half of the servers or more.

    Finds: requests to half of the known servers or more have no responder, none of them announced
    its end, and no server that replies has a link to them. It is then more likely that the agent
    and the server that it is connected to lost their network than that all of these servers died.

    Why: until they reply again the system cannot be evaluated. No finding opens or resolves, the
    verdict is unknown, and open findings stay open and are marked as stale.

    Do: check the network between the agent's server and the servers that `nats-insights servers`
    shows as not answering. If they will not come back, run `nats-insights forget NAME` for each. In
    a system of two servers the loss of one is half of all: the agent cannot distinguish it from a
    broken network.
    """
    if not agent.unreachable:
        return None
    silent = len(agent.unreachable)
    return Finding(
        value=silent,
        threshold=agent.known / 2,
        unit="servers",
        summary=f"{silent} of {agent.known} servers stopped replying at once: "
        "the agent assumes that it is isolated",
        cleared="the agent reaches more than half of the servers again",
        evidence={"servers": agent.unreachable[:10], "left_out": max(0, silent - 10)},
    )
