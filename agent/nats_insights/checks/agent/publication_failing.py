"""AGENT_010: what the agent publishes does not arrive, or is not stored."""

from __future__ import annotations

from nats_insights.check import WARNING, Agent, Finding, check


@check("AGENT_010", WARNING, "health", needs=(), open_after=2, news=False)
def publication_failing(agent: Agent) -> Finding | None:
    """What the agent publishes does not arrive, or is not stored.

    Finds: the agent has a second connection, as the section `[publish]` says, and there is none
    now; or its user may not publish there; or the stream that keeps the advisories does not take
    them, because it is full, has no leader, or JetStream is gone. This is about the agent, not the
    system: without that section there is nothing to find.

    Why: nobody hears of findings, or history and the current state lack them. What cannot be
    published or stored waits in the agent, up to 10,000 advisories, and is published again with
    the same id until it is stored.

    Do: act on the sentence of the finding; `nats-insights assets` shows the streams. Queries are
    answered meanwhile.

    Default: a connection that breaks is open again within seconds, so that it is found in the
    second epoch.
    """
    if not agent.unpublished:
        return None
    return Finding(
        summary=f"what the agent publishes is in trouble: {agent.unpublished}",
        cleared="what the agent publishes arrives, and is stored where there is a stream",
    )
