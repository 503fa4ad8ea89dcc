"""LEAF_002: messages to and from a leaf node take long."""

from nats_insights.check import LEAFZ, WARNING, Annotated, Finding, Leaf, Params, check, limit


class Distance(Params, frozen=True):
    max_ms: Annotated[
        float, limit("ms", clear=0.9, insights=100, gt=0, description="for one round trip")
    ] = 350.0


@check("LEAF_002", WARNING, "performance", needs=(LEAFZ,), open_after=10, news=False, common=True)
def high_leaf_rtt(leaf: Leaf, params: Distance) -> Finding | None:
    """A leaf node connection has a long round-trip time.

    Finds: in ten evaluations in a row the round-trip time of a leaf node connection was `max_ms` or
    more. A leaf node measures it with its pings, every two minutes by default, so that a slow one
    is not enough; its hub does so once an hour. The leaf node is reported, or the hub if the leaf
    node is not a server of this system.

    Why: each request over this connection waits for that long at least, and each publish to a
    stream at the other end. A time that was short before means a full line, or a busy server.

    Do: compare the time with that of a ping between the machines of {server} and {remote}. Where it
    is the same, look at the line, or join {remote} to a hub that is nearer. Where a ping is faster,
    look at the CPU of both servers.

    Default: about the round trip between the two farthest regions of the large clouds.

    Catalogue: corrected: 100 ms is an ordinary distance; a time must last, and is reported once.
    """
    rtt = max([connection.rtt for connection in leaf.connections])
    if (reached := params.reached(rtt)) is None or leaf.is_second_end:
        return None
    return reached.finding(
        f"a round trip over the leaf node connection of {leaf.server.name} with {leaf.remote} "
        f"takes {rtt:,.0f} ms, in account {leaf.account}",
        connections=len(leaf.connections),
    )
