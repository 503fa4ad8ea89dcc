"""AGENT_003: the agent does not receive all that its checks read."""

from nats_insights.check import WARNING, Agent, Annotated, Finding, Params, check, largest, limit

_NAMED = 20


class Gaps(Params, frozen=True):
    times: Annotated[
        int, limit("requests", ge=1, description="in a row whose replies lacked something")
    ] = 3


@check("AGENT_003", WARNING, "health", needs=(), news=False)
def incomplete_coverage(agent: Agent, params: Gaps) -> Finding | None:
    """The agent does not receive all that its checks read.

    Finds: the agent's user may not request an endpoint that an enabled check needs; a server that
    answers otherwise sent no usable reply to the last `times` requests to one endpoint; or there is
    a gateway to a cluster of which no server was ever known. A server that does not answer at all
    is SERVER_901, and one that is expected and not known is SYSTEM_902. Endpoints in `without` of
    the section `[access]` are not reported.

    Why: what is not read is not judged: nothing opens there, and what is open stays open. The
    evidence names the checks that need the endpoints.

    Do: allow what is not permitted; `nats-insights permissions` prints the whole list. If that is
    on purpose, name the endpoints in `without`. Where replies do not come, look at the load of the
    servers, and at `timeout` and `window` of `[gather]`; the agent's log with `--verbose` has the
    problem of each reply. A cluster that is not known most likely has another system account.

    Default: each request is repeated once, so three are six without a reply, and no accident.
    """
    silent = {
        endpoint: [name for name, times in servers.items() if times >= params.times]
        for endpoint, servers in agent.missed.items()
    }
    late = {endpoint: servers for endpoint, servers in silent.items() if servers}
    unseen = [name for name, times in agent.hidden_clusters.items() if times >= params.times]
    said = [f"{endpoint} is not permitted" for endpoint in agent.denied]
    said += [f"{endpoint} does not come from {_some(names)}" for endpoint, names in late.items()]
    said += [f"no server of cluster {name} is known" for name in unseen]
    if not said:
        return None
    blind = {name for gap in (*agent.denied, *late) for name in agent.readers.get(gap, ())}
    more = f", and {len(said) - 3} more" if len(said) > 3 else ""
    return Finding(
        value=len(said),
        threshold=1,
        unit="gaps",
        summary=f"the agent does not see all ({len(said)}): {', '.join(said[:3])}{more}",
        cleared="the agent receives all that its checks read",
        evidence={
            "not_permitted": agent.denied,
            "no_reply": {endpoint: largest(agent.missed[endpoint]) for endpoint in late},
            "unknown_clusters": unseen[:_NAMED],
            "checks": sorted(blind)[:_NAMED],
            "checks_left_out": max(0, len(blind) - _NAMED),
        },
    )


def _some(servers: list[str]) -> str:
    return servers[0] if len(servers) == 1 else f"{len(servers)} servers, such as {servers[0]}"
