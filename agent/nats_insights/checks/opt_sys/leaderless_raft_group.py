"""OPT_SYS_009: a server knows no leader of a Raft group that had one."""

from nats_insights.check import CRITICAL, RAFTZ, Finding, RaftGroup, check


@check(
    "OPT_SYS_009", CRITICAL, "health", needs=(RAFTZ,), open_after=2, resolve_after=1, settle=True
)
def leaderless_raft_group(group: RaftGroup) -> Finding | None:
    """A server knows no leader of a Raft group that had one.

    Finds: a server that is a member of a Raft group of the system account, which is the meta group,
    knows no leader of it in two evaluations in a row, and knew one before. Elections take seconds,
    so nothing is said while servers of its cluster come and go. Groups of single streams and
    consumers are not looked at.

    Why: without a leader the group decides nothing. If other servers know one, then this server is
    cut off from them: what it is asked for waits or fails.

    Do: look at the routes of {server} and at the other members of {group}. If too few members
    run, start more of them. Otherwise restart {server}, or have {group} elect a leader with
    `nats server raft step-down`.

    Catalogue: corrected: two looks in a row, since an election takes seconds.
    """
    told = group.told
    if told.leader or not told.ever_had_leader:
        return None
    name = group.names[3]
    return Finding(
        summary=f"{group.server.name} knows no leader of {name}, of which {told.size} servers are "
        f"members and {told.quorum_needed} must agree",
        cleared=f"{group.server.name} knows the leader of {name}",
        evidence={
            "state": told.state.lower(),
            "members": told.size,
            "quorum": told.quorum_needed,
            "peers": sorted(peer.name for peer in (told.peers or {}).values())[:10],
        },
    )
