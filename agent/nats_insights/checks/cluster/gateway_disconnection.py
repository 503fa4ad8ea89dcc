"""CLUSTER_007: a server is not connected with another cluster that it has a gateway to."""

from nats_insights.check import CRITICAL, GATEWAYZ, VARZ, Finding, Gateway, check


@check(
    "CLUSTER_007",
    CRITICAL,
    "health",
    needs=(GATEWAYZ, VARZ),
    open_after=2,
    settle=True,
    explains=True,
)
def gateway_disconnection(gateway: Gateway) -> Finding | None:
    """A server has lost its gateway connection to another cluster.

    Finds: a server with a gateway to another cluster in its configuration has no outbound
    connection to it, in two evaluations in a row, although servers of that cluster are known and
    were not shut down. A cluster that was never seen, or whose servers were all shut down properly,
    is not missed. A lost reply is no disconnection.

    Why: a server sends to other clusters over its own gateways only, so what the clients of
    {server} publish does not reach {remote}.

    Do: look in the log of {server} for errors of the gateway to {remote}, and check the
    network, the addresses, TLS and the `authorization` between them. If {remote} is gone for
    good, remove it from the configuration, or run `nats-insights forget SERVER` for each of its
    servers.

    Catalogue: corrected: the state and not the moment of loss, so that it stays open until the
    connection is back, and no loss by a lost reply or a planned shutdown.
    """
    if gateway.outbound is not None or not gateway.configured:
        return None
    if not gateway.server.reply(GATEWAYZ).name:
        return None
    states = list(gateway.remote_states.values())
    if not states:
        return None
    return Finding(
        summary=f"{gateway.server.name} has no connection to {gateway.remote}, which it has a "
        f"gateway to",
        cleared=f"{gateway.server.name} is connected with {gateway.remote}",
        evidence={
            "remote_servers": len(states),
            "remote_servers_answering": states.count("answering"),
            "inbound_connections": len(gateway.inbound),
        },
        involves=gateway.silent_end,
    )
