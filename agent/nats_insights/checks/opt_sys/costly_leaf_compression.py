"""OPT_SYS_017: a busy server compresses many leaf node connections as well as it can."""

from collections import Counter

from nats_insights.check import INFO, LEAFZ, VARZ, Annotated, Finding, Params, Server, check, limit

_COSTLY = ("s2_better", "s2_best")


class Costly(Params, frozen=True):
    min_leafs: Annotated[
        int,
        limit("connections", clear=0.8, insights=21, ge=1, description='at "better" or "best"'),
    ] = 20
    cpu_percent: Annotated[
        float,
        limit("%", clear=0.8, insights=0, ge=0, le=100, description="of all cores that it may use"),
    ] = 60.0


@check("OPT_SYS_017", INFO, "performance", needs=(VARZ, LEAFZ), open_after=5, news=False)
def costly_leaf_compression(server: Server, params: Costly) -> Finding | None:
    """A busy server compresses many leaf node connections as well as it can.

    Finds: in five evaluations in a row a server had `min_leafs` leaf node connections or more that
    are compressed at "better" or "best", and used `cpu_percent` of its cores or more. Servers do
    not tell whether a level was set or chosen: by itself ("s2_auto") a server takes these from
    50 ms of round trip on.

    Why: these levels take several times the CPU of "fast" and save few more bytes. With many leaf
    nodes far away a hub spends most of its time on it, and all of its clients wait.

    Do: set `compression: s2_fast` in the `leafnodes` block of {server}, or other `rtt_thresholds`,
    and look at its CPU. If that is not the cause, share the leaf nodes with more servers.

    Default: compression costs nobody anything while four tenths of the cores have nothing to do.

    Catalogue: corrected: servers report the level in use, never "s2_auto"; a busy CPU is needed.
    """
    varz = server.varz
    if varz.leafnodes < params.min_leafs:  # As of most servers.
        return None
    percent = varz.cpu / max(1, min(varz.cores, varz.gomaxprocs or varz.cores))
    if params.reached(percent, "cpu_percent") is None:
        return None
    levels = Counter(leaf.compression for leaf in server.reply(LEAFZ).leafs or ())
    costly = sum(levels[level] for level in _COSTLY)
    if (reached := params.reached(costly, "min_leafs")) is None:
        return None
    return reached.finding(
        f"{server.name} compresses {costly:,} of {levels.total():,} leaf node connections at "
        f'"better" or "best", and uses {percent:.0f} % of its cores',
        levels=dict(sorted(levels.items())),
        cpu_percent=round(percent, 1),
    )
