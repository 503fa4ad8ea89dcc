"""AGENT_008: an epoch ended with an error in the program."""

from collections import Counter

from nats_insights.check import WARNING, Agent, Annotated, Finding, Params, check, largest, limit


class Failures(Params, frozen=True):
    most: Annotated[int, limit("epochs", ">", ge=0, description="of the last 20 that may fail")] = 0


@check("AGENT_008", WARNING, "errors", needs=(), news=False)
def agent_failed(agent: Agent, params: Failures) -> Finding | None:
    """An error in the agent's own program ended an epoch.

    Finds: more than `most` of the last 20 epochs ended with an unexpected error. This is about the
    agent, not the system.

    Why: such an epoch has no result, so no finding opens or resolves in it. If every epoch fails,
    nothing is found any more.

    Do: report a bug, with the place in the program, which the agent's log names, and the versions
    of the agent and of the servers; with `--verbose` the log has the traceback. Restarting the
    agent is safe.

    Default: No epoch should end with an error.
    """
    if len(agent.failures) <= params.most:
        return None
    return Finding(
        value=len(agent.failures),
        threshold=params.most,
        unit="epochs",
        summary=f"{len(agent.failures)} of the last {agent.MEMORY} epochs failed, "
        f"last by {agent.failures[-1]}",
        cleared=f"none of the last {agent.MEMORY} epochs failed",
        evidence={"places": largest(Counter(agent.failures))},
    )
