"""CLUSTER_003: a server has very many replicated streams and consumers."""

from nats_insights.check import VARZ, WARNING, Annotated, Finding, Params, Server, check, limit


class Assets(Params, frozen=True):
    assets: Annotated[
        int,
        limit("assets", clear=0.95, ge=1, description="streams and consumers with replicas"),
    ] = 1000


@check("CLUSTER_003", WARNING, "saturation", needs=(VARZ,), common=True)
def ha_assets_high(server: Server, params: Assets) -> Finding | None:
    """A server has very many replicated streams and consumers.

    Finds: a server is a member of `assets` Raft groups or more: one for each stream and each
    consumer with replicas that it keeps, and the meta group.

    Why: each group sends heartbeats, writes a log and makes snapshots, also while nothing is
    published. With thousands of them a restart takes minutes, and leaders change without need.

    Do: delete streams and consumers of {server} that nobody uses. Give consumers that may be lost
    one replica (`num_replicas`) or keep them in memory, put many small streams into one with
    several subjects, or add servers.

    Default: a thousand groups is what one server is commonly planned for.

    Catalogue: same.
    """
    stats = server.jetstream_stats
    if (reached := params.reached(stats.ha_assets)) is None:
        return None
    return reached.finding(
        f"{server.name} has {stats.ha_assets:,} replicated streams and consumers",
        accounts=stats.accounts,
    )
