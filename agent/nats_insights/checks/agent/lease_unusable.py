"""AGENT_011: the agent leads without the lease that decides who leads."""

from __future__ import annotations

from nats_insights.check import WARNING, Agent, Finding, check


@check("AGENT_011", WARNING, "health", needs=(), open_after=2, news=False)
def lease_unusable(agent: Agent) -> Finding | None:
    """The agent leads without the lease that decides who leads.

    Finds: in the account of the second connection there is a bucket for leases, or there was no
    answer whether there is, and the agent cannot take the lease: JetStream does not answer, the
    user may not write there, or keys in the bucket would never end. While that connection is away,
    AGENT_010 says so. This is about the agent, not the system.

    Why: heartbeats decide alone who leads. Two agents that do not hear each other may both lead
    then, and a leader that fails is followed later.

    Do: act on the sentence of the finding; `nats-insights doctor` says what the user may not do,
    and `nats-insights assets` what is wrong with the bucket. The agent takes the lease as soon as
    it can.

    Default: a new leader of the bucket is elected within seconds, so that it is found in the second
    epoch without a lease.
    """
    if not agent.unleased:
        return None
    return Finding(
        summary=f"heartbeats alone decide who leads: {agent.unleased}",
        cleared="the agent leads by the lease, or by heartbeats where there is no bucket for it",
    )
