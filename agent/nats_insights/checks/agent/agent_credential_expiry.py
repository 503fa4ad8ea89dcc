"""AGENT_004: the agent's own credentials expire soon."""

from datetime import UTC, datetime

from msgspec.structs import replace

from nats_insights.check import (
    CRITICAL,
    WARNING,
    Agent,
    Annotated,
    Expiry,
    Finding,
    Params,
    check,
    limit,
)

_DAY = 86_400.0


class Left(Params, frozen=True):
    warning_days: Annotated[
        float, limit("days", "<", severity=WARNING, ge=0, le=3650, description="before it expires")
    ] = 30.0
    critical_days: Annotated[
        float, limit("days", "<", severity=CRITICAL, ge=0, le=3650, description="before it expires")
    ] = 7.0
    lifetime_days: Annotated[
        float, limit("days", ge=0, le=3650, description="of life; less lowers both limits alike")
    ] = 120.0


@check("AGENT_004", WARNING, "health", needs=(), open_after=2, news=False)
def agent_credential_expiry(agent: Agent, params: Left) -> Finding | None:
    """The agent's credentials expire soon, or can no longer be read.

    Finds: the user JWT or the client certificate with which the agent logs in expires in fewer than
    `warning_days`, or has expired; critical below `critical_days`. If it was made for fewer than
    `lifetime_days`, both limits are lowered in proportion: of a day, the last six hours count. The
    files are read again in each epoch. Files that cannot be read or decoded are critical.

    Why: a server closes the connection when the JWT expires. The agent then cannot log in again,
    and nothing is reported any more.

    Do: renew the credentials in their place, and check who renews them if that is automatic. The
    agent logs in with the new file when its connection is closed; it needs no restart.

    Default: as for the certificates of servers; those that live for 90 days are renewed by most
    tools when a third of their life is left, so that a quarter is late.
    """
    if agent.unusable:
        summary = f"the agent could not log in again: {agent.unusable}"
        return Finding(summary=summary, severity=CRITICAL, cleared="the credentials can be read")
    now, lifetime = agent.now, params.lifetime_days
    soonest = min(
        agent.expiries, key=lambda one: _days(one, now) * _stretch(one, lifetime), default=None
    )
    if soonest is None:
        return None
    days, stretch = _days(soonest, now), _stretch(soonest, lifetime)
    if (reached := params.reached(days * stretch)) is None:
        return None
    left = f"{abs(days):.1f} days" if abs(days) >= 1 else f"{abs(days) * 24:.1f} hours"
    ends = datetime.fromtimestamp(soonest.ends, UTC)
    when = f"expires in {left}" if days >= 0 else f"expired {left} ago"
    return replace(reached, value=days, threshold=round(reached.threshold / stretch, 3)).finding(
        f"{soonest.what} {when}, at {ends:%Y-%m-%d %H:%M} UTC",
        cleared="the agent's credentials do not expire soon",
        expires=ends.isoformat(),
        lifetime_days=round((soonest.ends - soonest.begins) / _DAY, 2) if soonest.begins else None,
    )


def _days(one: Expiry, now: float) -> float:
    return (one.ends - now) / _DAY


def _stretch(one: Expiry, lifetime: float) -> float:
    """How many times longer the life of one that lives this many days would be, at least 1."""
    life = (one.ends - one.begins) / _DAY
    return max(1.0, lifetime / life) if life > 0 else 1.0
