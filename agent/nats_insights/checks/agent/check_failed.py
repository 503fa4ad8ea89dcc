"""AGENT_006: a check raised an error."""

from nats_insights.check import WARNING, Agent, Annotated, Finding, Params, check, limit

_NAMED = 10


class Raising(Params, frozen=True):
    most: Annotated[
        int, limit("checks", ">", ge=0, description="that may raise within 20 epochs")
    ] = 0


@check("AGENT_006", WARNING, "errors", needs=(), news=False)
def check_failed(agent: Agent, params: Raising) -> Finding | None:
    """A check raised an error.

    Finds: more than `most` checks raised an unexpected error in the last 20 epochs, for one noun or
    for many. The evidence names each check, the kind of error and its place in the program. This is
    about the checks, not the system; an error that ends a whole epoch is AGENT_008.

    Why: what the check raised on is unknown, so that nothing opens or resolves there. All else is
    judged as usual.

    Do: report a bug, with the check, the place in the program, and the versions of the agent
    and of the servers; a check of a package of your own is yours to correct. Until then the
    check can be disabled with `enabled = false` in its section of the configuration.

    Default: no check should ever raise, whatever servers report.
    """
    if len(agent.raised) <= params.most:
        return None
    name, where = next(iter(agent.raised.items()))
    checks = f"{len(agent.raised)} checks" if len(agent.raised) > 1 else "1 check"
    left_out = max(0, len(agent.raised) - _NAMED)
    return Finding(
        value=len(agent.raised),
        threshold=params.most,
        unit="checks",
        summary=f"{checks} raised an error in the last {agent.MEMORY} epochs: {name}, {where}",
        cleared=f"no check raised an error in the last {agent.MEMORY} epochs",
        evidence={"places": dict(list(agent.raised.items())[:_NAMED]), "left_out": left_out},
    )
