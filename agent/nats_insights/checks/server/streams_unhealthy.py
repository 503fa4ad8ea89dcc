"""SERVER_015: a server says that streams or consumers are not healthy."""

from nats_insights.check import (
    CRITICAL,
    HEALTHZ,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    limit,
)

_NAMED = 10


class Unhealthy(Params, frozen=True):
    streams: Annotated[
        int, limit("streams", severity=CRITICAL, ge=1, description="that are not healthy")
    ] = 1
    consumers: Annotated[
        int, limit("consumers", severity=WARNING, ge=1, description="that are not healthy")
    ] = 1


@check("SERVER_015", CRITICAL, "health", needs=(HEALTHZ,), open_after=2)
def streams_unhealthy(server: Server, params: Unhealthy) -> Finding | None:
    """Streams or consumers of a server are not healthy.

    Finds: the server's own health check (HEALTHZ) names `streams` streams or more that were not
    recovered, cannot be written or do not keep up with their leader: critical. A warning where it
    names `consumers` consumers or more and no streams. Replicas that catch up after a restart are
    named, too, so it opens at the second look, a minute after the first. Nothing is known while
    something is wrong with JetStream of the server as a whole.

    Why: this replica cannot take over. If the others fail, the stream is lost or unavailable, and
    with a write error it may already be.

    Do: see what is wrong with each, in the reply of {server} to `nats server request
    jetstream-health` or in its log. A replica that catches up needs time. If
    its group has no leader, bring the other servers of the group back. After a write error check
    the disk of {server} and restart it. If that does not help, `nats stream cluster peer-remove`
    makes a new replica elsewhere where others are healthy, and a backup restores the stream where
    none is.

    Default: one stream that cannot be written is one too many.

    Catalogue: corrected: two looks a minute apart, since replicas catch up after each restart;
    a warning for consumers.
    """
    unhealthy = server.reply(HEALTHZ).errors_of("STREAM", "CONSUMER")
    unhealthy = sorted(unhealthy, key=lambda one: (one.type != "STREAM", one.stream, one.consumer))
    streams = sum(1 for one in unhealthy if one.type == "STREAM")
    consumers = len(unhealthy) - streams
    reached = params.reached(streams, "streams") or params.reached(consumers, "consumers")
    if reached is None:
        return None
    return reached.finding(
        f"{server.name} says that {_count(streams, 'stream')} and {_count(consumers, 'consumer')} "
        "are not healthy",
        cleared=f"{server.name} says that its streams and consumers are healthy",
        unhealthy=[
            {
                "account": one.account,
                "stream": one.stream,
                "consumer": one.consumer,
                "error": one.error,
            }
            for one in unhealthy[:_NAMED]
        ],
        left_out=max(0, len(unhealthy) - _NAMED),
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
