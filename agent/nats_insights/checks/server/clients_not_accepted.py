"""SERVER_907: a server accepts no clients, by its configuration."""

from nats_insights.check import VARZ, WARNING, Finding, Server, check, is_from

# Before, every number below zero meant that there was no limit.
_SINCE = "2.12.5"


@check("SERVER_907", WARNING, "consistency", needs=(VARZ,), common=True)
def clients_not_accepted(server: Server) -> Finding | None:
    """A server accepts no clients.

    Finds: a server is configured with a `max_connections` of 0 or below. From version 2.12.5 on it
    refuses every client then. Servers before that took -1 for no limit, so an upgrade may be the
    reason.

    Why: its clients are on the other servers, or have no server at all, and whatever should be
    balanced over the cluster is not balanced over this one. Monitoring that connects to {server}
    is refused, too.

    Do: remove `max_connections` from the configuration of {server}, or set a number, and reload
    it. If no client is meant to connect, switch this check off for {server}.
    """
    varz = server.varz
    if varz.max_connections >= 0 or not is_from(_SINCE, server.version):
        return None
    return Finding(
        value=varz.max_connections,
        threshold=0,
        unit="connections",
        summary=f"{server.name} refuses every client: its max_connections is "
        f"{varz.max_connections}",
        cleared=f"{server.name} accepts clients",
        evidence={"connections": varz.connections, "version": server.version},
    )
