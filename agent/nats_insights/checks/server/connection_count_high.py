"""SERVER_011: a server is near its connection limit."""

from nats_insights.check import (
    CRITICAL,
    OFF,
    VARZ,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    limit,
)


class Limits(Params, frozen=True):
    warning_percent: Annotated[
        float,
        limit("%", severity=WARNING, clear=0.94, gt=0, le=100, description="of max_connections"),
    ] = 80.0
    critical_percent: Annotated[
        float,
        limit(
            "%",
            severity=CRITICAL,
            clear=0.97,
            insights=OFF,
            gt=0,
            le=100,
            description="of max_connections",
        ),
    ] = 95.0


@check("SERVER_011", WARNING, "saturation", needs=(VARZ,), clients="connections")
def connection_count_high(server: Server, params: Limits) -> Finding | None:
    """A server has nearly as many connections as it accepts.

    Finds: the client connections of a server, WebSocket and MQTT included, are `warning_percent` of
    `max_connections` or more; critical from `critical_percent`. Routes, gateways and leaf nodes do
    not count towards that limit, and the agent's own connection is not counted.

    Why: at the limit the server refuses every new connection, also of clients that only reconnect
    after a network fault.

    Do: look for clients that leak connections, spread the clients over the other servers, or raise
    `max_connections` of {server} together with the open-file limit of its process.

    Default: At 80 % there is time to act, and a fifth server's clients still fit; 95 % are
    minutes.

    Catalogue: wider: critical from 95 %.
    """
    most = server.varz.max_connections
    if most <= 0:  # No limit on some versions, nobody admitted on others: no share of it exists.
        return None
    connections = server.varz.connections - server.own_connections
    percent = 100 * connections / most
    if (reached := params.reached(percent)) is None:
        return None
    return reached.finding(
        f"{server.name} has {connections:,} of {most:,} connections ({percent:.0f} %)",
        servers=(server.name,),
        connections=connections,
        max_connections=most,
    )
