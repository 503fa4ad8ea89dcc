"""SERVER_001: a server does not listen for connections as it is configured to."""

from nats_insights.check import CRITICAL, HEALTHZ, Finding, Server, check


@check("SERVER_001", CRITICAL, "health", needs=(HEALTHZ,), open_after=3)
def connection_readiness_failure(server: Server) -> Finding | None:
    """A server is not ready for connections.

    Finds: the server's own health check (HEALTHZ) says that it does not listen on a port that it is
    configured to listen on, at three looks in a row, a minute apart: for clients (`server`),
    routes, gateways, leaf nodes, WebSocket or MQTT. A server in lame duck mode does not answer, so
    it is not reported.

    Why: clients, or other servers, that connect or reconnect to this server are refused.

    Do: look in the log of {server} for the reason, such as a port that another program uses or too
    many open files, and restart it.

    Catalogue: corrected: a server that starts is not reported at once, nor one that says nothing
    of its connections.
    """
    errors = server.reply(HEALTHZ).errors_of("CONNECTION")
    if not errors:
        return None
    return Finding(
        summary=f"{server.name} says that it is not ready for connections: {errors[0].error}",
        cleared=f"{server.name} says that it is ready for connections",
    )
