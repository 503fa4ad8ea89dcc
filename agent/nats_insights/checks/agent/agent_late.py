"""AGENT_002: the agent cannot keep its interval."""

from nats_insights.check import WARNING, Agent, Annotated, Finding, Params, check, limit


class Lateness(Params, frozen=True):
    epochs: Annotated[
        int, limit("epochs", ge=1, description="in a row that took longer than the interval")
    ] = 3


@check("AGENT_002", WARNING, "performance", needs=(), news=False)
def agent_late(agent: Agent, params: Lateness) -> Finding | None:
    """The agent takes longer for an epoch than its interval.

    Finds: several epochs in a row, as many as `epochs`, had not ended when the next one was due.
    The epochs that were due meanwhile are skipped. This is about the agent, not the system.

    Why: findings open and resolve later than the configured interval.

    Do: look for servers that hang, because an epoch waits for each of them; `nats-insights servers`
    shows them. Then give the agent more CPU, or set a longer `interval`.

    Default: One late epoch is a pause of the machine; three in a row are a lack of CPU.
    """
    if agent.late < params.epochs:
        return None
    epochs = "epoch" if agent.late == 1 else "epochs"
    return Finding(
        value=agent.late,
        threshold=params.epochs,
        unit="epochs",
        summary=f"{agent.late} {epochs} in a row took longer than the interval of "
        f"{agent.interval:g} s, the last one {agent.took:.1f} s",
        cleared=f"epochs end within the interval of {agent.interval:g} s again",
        evidence={"interval_seconds": agent.interval, "took_seconds": round(agent.took, 3)},
    )
