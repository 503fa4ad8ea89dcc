"""CLUSTER_903: servers of one cluster form parts without routes between them."""

from collections.abc import Mapping, Set

from nats_insights.check import CRITICAL, ROUTEZ, VARZ, Cluster, Finding, check


def parts(routed: Mapping[str, Set[str]]) -> list[set[str]]:
    """The ids of the servers that routes join, from those that each has routes to."""
    joined: list[set[str]] = []
    for one, others in routed.items():
        part, apart = {one, *others}, []
        for known in joined:
            if known.isdisjoint(part):
                apart.append(known)
            else:
                part |= known
        joined = [*apart, part]
    return joined


@check(
    "CLUSTER_903",
    CRITICAL,
    "health",
    needs=(ROUTEZ, VARZ),
    open_after=2,
    settle=True,
    explains=True,
)
def cluster_split(cluster: Cluster) -> Finding | None:
    """A cluster is split into parts without routes between them.

    Finds: the servers of a cluster that answer form two or more parts, and no server of one part
    has a route to a server of another. Where the agent reaches one part only, as in most splits,
    the servers of the others are reported as not answering instead.

    Why: clients of one part do not get the messages of the other. Streams lose their quorum in all
    parts but the largest, and in every part where none has more than half of the servers.

    Do: see which routes are missing, and check the network, the `routes` and the `authorization`
    between the parts of {cluster}. If they were never meant to be one cluster, such as leaf nodes
    at several sites, give each cluster a name of its own: leaf nodes do not exchange messages
    between clusters of one name.
    """
    answering = {one.id: one for one in cluster.servers if VARZ.key in one.replies}
    joined = parts({id: one.routed for id, one in answering.items()})
    if len(joined) < 2:
        return None
    named = sorted(
        (sorted(answering[id].name for id in part & answering.keys()) for part in joined),
        key=lambda names: (-len(names), names),
    )
    return Finding(
        value=len(named),
        threshold=2,
        unit="parts",
        summary=f"{cluster.name} is split: no route joins {_few(named[0])} with {_few(named[1])}",
        cleared=f"routes join all servers of {cluster.name}",
        evidence={
            "parts": [names[:10] for names in named[:10]],
            "servers": [len(names) for names in named[:10]],
        },
    )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
