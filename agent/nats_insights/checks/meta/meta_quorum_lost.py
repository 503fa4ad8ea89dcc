"""META_006: too few members of the meta group are left to elect a leader."""

from nats_insights.check import CRITICAL, VARZ, Finding, MetaGroup, check


@check("META_006", CRITICAL, "health", needs=(VARZ,), open_after=2, explains=True)
def meta_quorum_lost(group: MetaGroup) -> Finding | None:
    """Too few servers are left to elect a leader of JetStream.

    Finds: no server of a cluster knows a leader of the meta group, and fewer servers with JetStream
    answer, in all clusters of the same domain, than must agree: more than half of the members, or
    what the servers say themselves. A group that is between two leaders is not reported, and one
    that lost its quorum is when its last leader has given up, which takes up to 20 s. A server that
    hangs may still be a member: if it makes the difference, the check is unknown.

    Why: nobody can create, change or delete a stream or a consumer, and no new leader is elected
    for any of them. Streams with one replica still take messages, where their server runs.

    Do: start the servers of {cluster} that do not answer. If one will never come back, remove it
    with `nats server raft peer-remove` once a majority runs again, and keep the number of servers
    with JetStream odd.

    Catalogue: corrected: a group of four with two offline has no quorum, either.
    """
    if group.leader or group.has_quorum:
        return None
    return Finding(
        value=group.online,
        threshold=group.quorum,
        unit="servers",
        summary=f"{group.online} of {group.size} members of the meta group of "
        f"{group.cluster.name} answer, {group.quorum} must agree: JetStream has no leader",
        cleared=f"the meta group of {group.cluster.name} can elect a leader again",
        evidence={
            "members": group.size,
            "online": group.online,
            "quorum": group.quorum,
            "answering": sorted(group.views)[:10],
        },
    )
