"""JETSTREAM_022: a replica is further behind its leader than the owner of the stream allows."""

from nats_insights.check import (
    CRITICAL,
    JSZ_STREAMS,
    OFF,
    Annotated,
    Finding,
    Params,
    StreamReplica,
    check,
    limit,
)


class Lag(Params, frozen=True):
    operations: Annotated[
        int,
        limit(
            "operations",
            ">",
            clear=0.9,
            ge=1,
            metadata="io.nats.monitor.peer-lag-critical",
            description="that a replica is behind its leader",
        ),
    ] = OFF


@check("JETSTREAM_022", CRITICAL, "consistency", needs=(JSZ_STREAMS,), resolve_after=1)
def peer_lag_critical(replica: StreamReplica, params: Lag) -> Finding | None:
    """A replica of a stream is too far behind its leader.

    Finds: a replica is more than `operations` behind, as the leader of the stream says. The limit
    is off unless the owner of the stream sets it in the metadata of the stream, as
    `io.nats.monitor.peer-lag-critical` beside `io.nats.monitor.enabled`.

    Why: what only some replicas have is lost if the others fail, and the stream waits for the
    replica where it is needed for a majority.

    Do: look at {server}: whether it runs, its routes, and how busy its processor and its disk are.
    If the replica of {stream} does not catch up, remove that peer with `nats stream cluster
    peer-remove`, so that another server takes a new replica.

    Default: Only the owner knows how fast the stream is written.

    Catalogue: same.
    """
    peer = replica.peer
    if (reached := params.reached(peer.lag)) is None:
        return None
    stream, server = replica.names[1], replica.names[3]
    return reached.finding(
        f"the replica of stream {stream} on {server} is {peer.lag:,} operations behind",
        involves=(replica.server,),
        leader=replica.stream.leader,
        current=peer.current,
        offline=peer.offline,
        seen_seconds=round(peer.active / 1e9, 1) if peer.active >= 0 else None,
    )
