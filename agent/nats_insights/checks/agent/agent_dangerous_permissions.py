"""AGENT_005: the agent's user may do more than read."""

from nats_insights.check import WARNING, Agent, Annotated, Finding, Params, check, flag


class Users(Params, frozen=True):
    unrestricted: Annotated[
        bool,
        flag(insights=True, description="whether to find a user without any list of permissions"),
    ] = False


@check("AGENT_005", WARNING, "consistency", needs=(), news=False)
def agent_dangerous_permissions(agent: Agent, params: Users) -> Finding | None:
    """The agent's user may do more than read.

    Finds: the user with which the agent logs in has a list of what it may publish, and that list
    lets it disconnect clients (KICK, LDM), reload servers (RELOAD), take servers out of JetStream
    and its leader out of office (SERVER.REMOVE, META.LEADER.STEPDOWN), delete all streams of an
    account (ACCOUNT.PURGE) or, where accounts are JWTs, write and delete them (CLAIMS). The agent
    never sends such a request: the server tells it what it may do. A user without any list is
    found only with `unrestricted`.

    Why: whoever gets hold of the agent's credentials can do all that, too. The agent needs none
    of it.

    Do: give the agent a user that may publish only what `nats-insights permissions` prints. A
    wildcard such as `$SYS.REQ.SERVER.*.*` or `$SYS.REQ.>` allows too much.

    Default: many systems have one system user without any list, which the command `doctor` tells;
    whoever does restrict the user wants to know what the list leaves open.
    """
    if not agent.dangers or not (agent.restricted or params.unrestricted):
        return None
    return Finding(
        value=len(agent.dangers),
        threshold=0,
        unit="requests",
        summary=f"the agent's user may change servers by any of {len(agent.dangers)} requests: "
        f"{', '.join(agent.dangers)}",
        cleared="the agent's user may not change servers",
        evidence={"requests": list(agent.dangers)},
    )
