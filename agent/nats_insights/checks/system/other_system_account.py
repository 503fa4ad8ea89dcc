"""SYSTEM_901: servers of a cluster use another system account."""

from nats_insights.check import ROUTEZ, VARZ, WARNING, Cluster, Finding, check


@check("SYSTEM_901", WARNING, "consistency", needs=(VARZ, ROUTEZ), open_after=3)
def other_system_account(cluster: Cluster) -> Finding | None:
    """Servers of a cluster use another system account.

    Finds: servers of a cluster have routes to a server that does not answer, but none of these is
    the one that two servers keep for a system account that they share. A server that hangs keeps
    that one. Where `pool_size` of the cluster is -1 there is no such route, and nothing is found.
    Leaf nodes and other clusters are not looked at.

    Why: nobody sees the whole system. Tools and this agent get answers of the servers with their
    own system account only, and the JetStream of the others is not one with theirs.

    Do: give all servers of {cluster} the same `system_account`: in operator mode the same key, else
    the same name. Restart those where it changes.
    """
    silent = {server.name for server in cluster.servers if VARZ.key not in server.replies}
    if not silent:  # As mostly.
        return None
    routed, related, accounts = set(), set(), set()
    for server in cluster.servers:
        if VARZ.key not in server.replies or ROUTEZ.key not in server.replies:
            continue  # The audit knows what their silence means.
        options = server.varz.cluster
        if options is None or options.pool_size < 1:
            continue
        accounts.add(server.varz.system_account)
        for route in server.reply(ROUTEZ).routes or ():
            if route.remote_name in silent:
                routed.add(route.remote_name)
                if route.account == server.varz.system_account:
                    related.add(route.remote_name)
    if not (others := sorted(routed - related)):
        return None
    for server in cluster.servers:
        if server.name not in others:  # If its reply is missing, it may have that route.
            _ = server.varz, server.reply(ROUTEZ)
    return Finding(
        summary=f"servers of {cluster.name} do not use its system account "
        f"{', '.join(sorted(accounts)[:3])}: {', '.join(others[:3])}"
        + (f" and {len(others) - 3} more" if len(others) > 3 else ""),
        cleared=f"all servers of {cluster.name} that answer use one system account",
        evidence={"servers": others[:10], "system_accounts": sorted(accounts)[:10]},
    )
