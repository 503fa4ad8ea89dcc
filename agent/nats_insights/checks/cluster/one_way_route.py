"""CLUSTER_902: only one of two servers has a route to the other."""

from collections import defaultdict

from nats_insights.check import ROUTEZ, VARZ, WARNING, Cluster, Finding, Server, check


def back(cluster: Cluster) -> dict[str, set[str]]:
    """The ids of the servers that have a route to each, of those that sent theirs."""
    routed: dict[str, set[str]] = defaultdict(set)
    for server in cluster.servers:
        for other in server.routed if ROUTEZ.key in server.replies else ():
            routed[other].add(server.id)
    return routed


@check("CLUSTER_902", WARNING, "consistency", needs=(ROUTEZ, VARZ), open_after=2, settle=True)
def one_way_route(server: Server) -> Finding | None:
    """Only one of two servers has a route to the other.

    Finds: a server has a route to another one of its cluster, which answers and has none to it, in
    two evaluations in a row. The server that has the route is reported.

    Why: one of them closed the connection and the other one did not notice. It sends messages
    into it that nobody receives, and gets none, until its pings remain without a reply.

    Do: look at what is between {server} and the servers that have no route to it: firewalls,
    load balancers and NAT drop connections without telling both ends. See in the logs of these
    servers why they closed the route. If it stays, restart {server}, which opens its routes
    again.
    """
    home = server.cluster
    if home is None or server.routed <= home.memo(back)[server.id]:
        return None
    others = [one for one in home.servers if one.id in server.routed]
    # `routed` is Missing for one that does not answer.
    names = sorted(one.name for one in others if server.id not in one.routed)
    if not names:
        return None
    return Finding(
        value=len(names),
        threshold=1,
        unit="servers",
        summary=f"{server.name} has a route to {', '.join(names[:3])}, which "
        f"{'has' if len(names) == 1 else 'have'} none to {server.name}",
        cleared=f"{server.name} has routes only to servers that have one to it",
        evidence={"without_route": names[:10], "left_out": max(0, len(names) - 10)},
    )
