"""AGENT_009: the state of the agent is not saved."""

from __future__ import annotations

from nats_insights.check import WARNING, Agent, Finding, check


@check("AGENT_009", WARNING, "errors", needs=(), resolve_after=1, news=False)
def state_not_saved(agent: Agent) -> Finding | None:
    """The agent cannot save its state.

    Finds: what the agent knows was not saved after its last epoch, in the place where it is to be
    kept, such as the file of `--state`. This is about the agent, not the system.

    Why: findings are published as usual, but an agent that is restarted now goes on from an older
    state: what opened since opens a second time, and what resolved since resolves a second time.

    Do: give the disk space, or the agent's user the permission to write there; the summary and the
    agent's log say what failed. The next epoch saves everything, so that a restart is not needed.

    Default: one failed save is enough to lose what an epoch found.
    """
    if not agent.unsaved:
        return None
    return Finding(
        summary=agent.unsaved,
        cleared="the state of the agent is saved again",
    )
