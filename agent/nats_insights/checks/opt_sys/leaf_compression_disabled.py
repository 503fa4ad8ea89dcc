"""OPT_SYS_006: a leaf node connection over some distance is not compressed."""

from nats_insights.check import INFO, LEAFZ, Annotated, Finding, Leaf, Params, check, limit

_PLAIN = ("off", "not supported")


class Distance(Params, frozen=True):
    min_ms: Annotated[
        float,
        limit("ms", clear=0.8, insights=0, ge=0, description="for one round trip; nearer is fine"),
    ] = 10.0


@check("OPT_SYS_006", INFO, "consistency", needs=(LEAFZ,), open_after=10, news=False, common=True)
def leaf_compression_disabled(leaf: Leaf, params: Distance) -> Finding | None:
    """A leaf node connection over some distance is not compressed.

    Finds: in ten evaluations in a row a leaf node connection was not compressed ("off", or "not
    supported"), and a round trip took `min_ms` or more. The leaf node is reported, or the hub if
    the leaf node is not a server of this system. A connection over WebSocket that compresses by
    itself also says "off".

    Why: such a line is often slow or paid for by the byte, and text such as JSON takes a fraction
    of the bytes when it is compressed.

    Do: remove `compression` from the `leafnodes` block of {server} and of {remote}, and from its
    `remotes`: servers from 2.10 on then compress as the distance asks for. "Not supported" is an
    older server at the other end. Where the payloads are compressed or encrypted already, disable
    this check for {remote}.

    Default: up to 10 ms a server does not compress a leaf node connection by itself either.

    Catalogue: corrected: near connections are left out, and both ends are one finding.
    """
    plain = [one for one in leaf.connections if one.compression in _PLAIN]
    if not plain:
        return None
    farthest = max(plain, key=lambda one: one.rtt)
    if (reached := params.reached(farthest.rtt)) is None or leaf.is_second_end:
        return None
    return reached.finding(
        f"the leaf node connection of {leaf.server.name} with {leaf.remote} is not compressed, "
        f"and a round trip takes {farthest.rtt:,.0f} ms, in account {leaf.account}",
        cleared=f"the leaf node connection of {leaf.server.name} with {leaf.remote} is compressed",
        compression=farthest.compression,
        connections=len(plain),
    )
