"""SERVER_014: a server says that its JetStream as a whole is not healthy."""

from nats_insights.check import CRITICAL, HEALTHZ, Finding, Server, check


@check("SERVER_014", CRITICAL, "health", needs=(HEALTHZ,), open_after=3, common=True)
def jetstream_unhealthy(server: Server) -> Finding | None:
    """JetStream of a server is not healthy.

    Finds: the server's own health check (HEALTHZ) says, at three looks in a row, a minute apart,
    that JetStream is configured and was switched off, or that it has no contact with the leader of
    the meta group, is behind it, or cannot write. Nothing is known while the server is not ready
    for connections, which it looks at first. Where the meta group has lost its quorum, that is
    reported instead.

    Why: a server whose JetStream is off serves none of its streams, and one without the meta
    leader does not learn of new, changed and deleted ones. Nor does it look at its streams.

    Do: look in the log of {server} for why JetStream was switched off: most often its disk is full
    or cannot be written. Make room and restart it. If it does not find the leader, check its routes
    and whether the other servers of {cluster} run.

    Catalogue: corrected: three looks, since a server that starts is not current for a while.
    """
    errors = server.reply(HEALTHZ).errors_of("JETSTREAM")
    if not errors:
        return None
    return Finding(
        summary=f"{server.name} says that its JetStream is not healthy: {errors[0].error}",
        cleared=f"{server.name} says that its JetStream is healthy",
        involves=((server.home,),),  # The meta group of its cluster.
    )
