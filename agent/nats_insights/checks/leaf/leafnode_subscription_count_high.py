"""LEAF_003: a leaf node connection carries very many subscriptions."""

from nats_insights.check import (
    CRITICAL,
    LEAFZ,
    WARNING,
    Annotated,
    Finding,
    Leaf,
    Params,
    check,
    limit,
)

_WHAT = "that the other end sent over one connection"


class Interest(Params, frozen=True):
    warning: Annotated[
        int, limit("subscriptions", severity=WARNING, clear=0.9, ge=1, description=_WHAT)
    ] = 20_000
    critical: Annotated[
        int, limit("subscriptions", severity=CRITICAL, clear=0.9, ge=1, description=_WHAT)
    ] = 50_000


@check("LEAF_003", WARNING, "saturation", needs=(LEAFZ,), open_after=2, common=True)
def leafnode_subscription_count_high(leaf: Leaf, params: Interest) -> Finding | None:
    """A leaf node connection carries very many subscriptions.

    Finds: a server holds `warning` subscriptions or more that came over one leaf node connection;
    critical from `critical`. Each end counts what the other one sent, so the finding names the
    server that holds them.

    Why: whenever this connection is made anew, all of them are sent again, and until they are all
    there messages do not pass. Each one that comes or goes at the other end is work here, too.

    Do: see which subjects the clients behind {remote} subscribe to in account {account}: one
    wildcard often replaces many. Let the leaf node export and import only what it needs, with
    `deny_exports` and `deny_imports`, or with an account of its own for {remote}.

    Default: at these numbers a new connection takes noticeable time to send its interest.

    Catalogue: same.
    """
    most = max([connection.subscriptions for connection in leaf.connections])
    if most < min(params.warning, params.critical) or (reached := params.reached(most)) is None:
        return None
    return reached.finding(
        f"{leaf.server.name} holds {most:,} subscriptions that came over one leaf node "
        f"connection with {leaf.remote}, in account {leaf.account}",
        subscriptions=sum([connection.subscriptions for connection in leaf.connections]),
        connections=len(leaf.connections),
    )
