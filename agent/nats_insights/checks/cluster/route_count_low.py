"""CLUSTER_005: a server lacks routes to other servers of its cluster."""

from nats_insights.check import ROUTEZ, VARZ, WARNING, Cluster, Finding, Server, check


def ids(cluster: Cluster) -> set[str]:
    return {server.id for server in cluster.servers}


@check("CLUSTER_005", WARNING, "health", needs=(ROUTEZ, VARZ), open_after=2, settle=True)
def route_count_low(server: Server) -> Finding | None:
    """A server has no route to another server of its cluster.

    Finds: two servers of a cluster answer, and neither has a route to the other. Each server with
    such a gap is reported. Connected servers count, not the connections of a pool. Servers that do
    not answer are not counted here, and a route that one of the two still has is CLUSTER_902.

    Why: a message takes at most one route, and no other server passes it on. Clients of the two
    servers do not get each other's messages, and their Raft groups do not hear each other.

    Do: look in the logs of {server} and of the servers that it has no route to for route
    errors. Check the network between them, and the `routes`, `advertise`, `authorization` and
    `tls` options in the `cluster` blocks of both.

    Catalogue: corrected: counts servers, not pooled connections, and only servers that answer.
    """
    if server.cluster is None:
        return None
    absent = server.cluster.memo(ids) - server.routed
    if absent == {server.id}:
        return None
    others = [one for one in server.cluster.servers if one is not server]
    # `routed` is Missing for one that does not answer.
    names = sorted(one.name for one in others if one.id in absent and server.id not in one.routed)
    if not names:
        return None
    expected = len(others)
    return Finding(
        value=expected - len(names),
        threshold=expected,
        unit="servers",
        summary=f"{server.name} has routes to {expected - len(names)} of {expected} other servers "
        f"of {server.home}, and none to {', '.join(names[:3])}",
        cleared=f"{server.name} has a route to each other server of {server.home}",
        evidence={"without_route": names[:10], "left_out": max(0, len(names) - 10)},
        involves=(server.cluster.names,),
    )
