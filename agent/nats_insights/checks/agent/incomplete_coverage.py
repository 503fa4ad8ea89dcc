"""AGENT_003: the agent does not receive all that its checks read."""

from __future__ import annotations

from typing import Annotated

from nats_insights.check import WARNING, Agent, Finding, Params, check, largest, limit


class Gaps(Params, frozen=True):
    times: Annotated[
        int, limit("requests", ge=1, description="in a row that one server left without a reply")
    ] = 3


@check("AGENT_003", WARNING, "health", needs=(), news=False)
def incomplete_coverage(agent: Agent, params: Gaps) -> Finding | None:
    """The agent does not receive all that its checks read.

    Finds: the agent's user may not request an endpoint that an enabled check needs, or a server
    that answers otherwise sent no usable reply to the last `times` requests to one endpoint. A
    server that does not answer at all is SERVER_901, and one that is expected and not known is
    SYSTEM_902. Endpoints in `access.without` of the configuration are not reported.

    Why: the checks named in the evidence are unknown, wholly or for these servers. Nothing that
    they would find opens, and what they have found stays open.

    Do: allow what is not permitted: `nats-insights permissions` prints the whole list. If that is
    on purpose, name the endpoints in `without` of the section `[access]`. Where replies do not
    come, look at the log and the load of the servers, and at `timeout` and `window` of `[gather]`;
    the agent's log with `--verbose` has the problem of each reply.

    Default: each request is repeated once, so three are six without a reply, and no accident.

    Catalogue: corrected: one lost reply is no finding, and silent servers have their own.
    """
    silent = {
        endpoint: [name for name, times in servers.items() if times >= params.times]
        for endpoint, servers in agent.missed.items()
    }
    late = {endpoint: servers for endpoint, servers in silent.items() if servers}
    gaps = [*agent.denied, *late]
    if not gaps:
        return None
    blind = sorted({name for gap in gaps for name in agent.readers.get(gap, ())})
    said = [f"{endpoint} is not permitted" for endpoint in agent.denied]
    said += [
        f"{endpoint} does not come from {_some(servers)}" for endpoint, servers in late.items()
    ]
    which = "1 endpoint is" if len(gaps) == 1 else f"{len(gaps)} endpoints are"
    more = f", and {len(said) - 3} more" if len(said) > 3 else ""
    return Finding(
        value=len(gaps),
        threshold=1,
        unit="endpoints",
        summary=f"{which} not read in full: {', '.join(said[:3])}{more}",
        cleared="all endpoints that checks need are read",
        evidence={
            "not_permitted": agent.denied,
            "no_reply": {endpoint: largest(agent.missed[endpoint]) for endpoint in late},
            "checks": blind[:20],
            "checks_left_out": max(0, len(blind) - 20),
        },
    )


def _some(servers: list[str]) -> str:
    return servers[0] if len(servers) == 1 else f"{len(servers)} servers, such as {servers[0]}"
