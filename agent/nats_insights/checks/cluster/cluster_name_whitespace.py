"""CLUSTER_004: the name of a cluster has whitespace in it."""

from nats_insights.check import WARNING, Cluster, Finding, check


@check("CLUSTER_004", WARNING, "consistency", needs=())
def cluster_name_whitespace(cluster: Cluster) -> Finding | None:
    """The name of a cluster has whitespace in it.

    Finds: the name of a cluster contains a space, a tab or a line break.

    Why: servers from 2.11 on refuse to start with a space in it, so that an upgrade stops at the
    first server. Tools and scripts that split their input at whitespace read such a name wrongly.

    Do: give {cluster} another name, and plan that: servers that call their cluster differently do
    not connect to each other, and gateways of other clusters and placements of streams contain the
    name.

    Catalogue: corrected: one finding for a cluster, whose servers all have the same name for it.
    """
    if not any(map(str.isspace, cluster.name)):
        return None
    return Finding(
        summary=f"the name of cluster {cluster.name!r} has whitespace in it",
        evidence={"servers": sorted(server.name for server in cluster.servers)[:10]},
    )
