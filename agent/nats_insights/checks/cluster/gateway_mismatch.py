"""CLUSTER_008: a server has other gateways than most servers of its cluster."""

from collections import Counter
from typing import NamedTuple

from nats_insights.check import GATEWAYZ, VARZ, WARNING, Cluster, Finding, Gateway, check


class Gateways(NamedTuple):
    """Servers of a cluster: all, those with gateways, and those connected to each remote."""

    servers: int
    with_gateways: int
    connected: Counter[str]


def gateways(cluster: Cluster) -> Gateways:
    replies = [server.reply(GATEWAYZ) for server in cluster.servers]
    bearing = [reply for reply in replies if reply.name]
    connected = Counter(remote for reply in bearing for remote in reply.outbound_gateways or ())
    return Gateways(len(replies), len(bearing), connected)


@check("CLUSTER_008", WARNING, "consistency", needs=(GATEWAYZ, VARZ), open_after=2, settle=True)
def gateway_mismatch(gateway: Gateway) -> Finding | None:
    """A server has other gateways than most servers of its cluster.

    Finds: a server has no outbound gateway connection to another cluster although more than half of
    the servers of its cluster have one, or it has one that more than half of them do not have.
    Servers that have gateways are compared with one another, a server without any with its whole
    cluster. Connections count, not the configuration: servers learn gateways from their peers.
    Where the server has lost the connection, CLUSTER_007 says so instead.

    Why: a server sends to other clusters over its own gateways only. Clients that are connected to
    the one that lacks a gateway cannot reach the other cluster, while those of its peers can.

    Do: compare the `gateway` block of {server} with those of the other servers of {cluster}: its
    remotes, their addresses, and `reject_unknown_cluster` on both sides. Where they are the same,
    look in the log of {server} for failed connections to {remote}, and at the network between them.

    Catalogue: corrected: compares a server without gateways with its whole cluster, and needs
    no three servers.
    """
    server = gateway.server
    if server.cluster is None:
        return None
    every = server.cluster.memo(gateways)
    peers = every.with_gateways if server.reply(GATEWAYZ).name else every.servers
    having = every.connected[gateway.remote]
    if gateway.outbound is None:
        most, verb, differs = having, "has no gateway", "have"
    else:
        most, verb, differs = peers - having, "has a gateway", "do not have"
    if 2 * most <= peers:
        return None
    return Finding(
        summary=f"{server.name} {verb} to {gateway.remote}, which {most} of {peers} servers "
        f"of {server.home} {differs}",
        cleared=f"{server.name} and most servers of {server.home} have the same gateways "
        f"to {gateway.remote}",
        evidence={
            "configured": gateway.configured,
            "servers_connected": having,
            "servers_compared": peers,
        },
        involves=(gateway.names, *gateway.silent_end),
    )
