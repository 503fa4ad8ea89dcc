"""OPT_PLACE_003: much of the traffic of an account goes from one cluster to another."""

from collections.abc import Mapping

from nats_insights.check import (
    INFO,
    STATZ,
    STATZ_TRAFFIC,
    VARZ,
    AccountOverGateways,
    Annotated,
    Finding,
    Params,
    check,
    duration,
    largest,
    limit,
    samples,
)

_KEEP = 3600
_MIB = 1024 * 1024


class Share(Params, frozen=True):
    percent: Annotated[
        float, limit("%", clear=0.8, gt=0, le=100, description="of its bytes, over gateways")
    ] = 30.0
    min_mib: Annotated[
        float, limit("MiB", insights=1, gt=0, description="in all; less traffic is ignored")
    ] = 1024.0
    window: Annotated[
        float, duration(ge=1, le=_KEEP, description="in which the bytes are counted")
    ] = 3600.0


@samples(keep=_KEEP, every=300)
def over_gateways(account: AccountOverGateways) -> Mapping[tuple[str, ...], int]:
    return account.traffic.over_gateways


@samples(keep=_KEEP, every=300)
def in_all(account: AccountOverGateways) -> Mapping[tuple[str, ...], int]:
    return account.traffic.in_all


@check(
    "OPT_PLACE_003",
    INFO,
    "performance",
    needs=(VARZ, STATZ, STATZ_TRAFFIC, over_gateways, in_all),
    open_after=2,
    news=False,
)
def high_gateway_traffic_ratio(account: AccountOverGateways, params: Share) -> Finding | None:
    """Much of the traffic of an account goes from one cluster to another.

    Finds: of the bytes that all servers sent and received for an account within `window`, `percent`
    or more went over gateways, and they were `min_mib` or more in all. Bytes over routes are left
    out. What crosses once is sent and received by a gateway, and by a client at each end, so that
    the share is hardly more than a half. Servers before 2.11.5 do not tell.

    Why: the lines between clusters are the longest and often the most expensive. Each message and
    each request that crosses them waits for them, and stops when they do.

    Do: see where the publishers and the subscribers of {account} are, and bring together those that
    belong together. Use queue groups, which prefer members of their own cluster, and a mirror of a
    stream where many in another cluster read it. If this is meant, disable the check for {account}.

    Default: 1 GiB in an hour is a quarter of what a line of 10 Mbit/s carries.

    Catalogue: corrected: traffic within a cluster does not hide it, and 1 MiB is nothing.
    """
    by_server = {name: count for (_, name), count in account.traffic.over_gateways.items()}
    moved = account.past(in_all).growth(params.window)
    if params.reached(moved / _MIB, "min_mib") is None:
        return None
    crossed = account.past(over_gateways).growth(params.window)
    if (reached := params.reached(100 * crossed / moved, "percent")) is None:
        return None
    return reached.finding(
        f"{100 * crossed / moved:.0f} % of the traffic of account {account.name} goes over "
        f"gateways, {crossed / _MIB:,.0f} of {moved / _MIB:,.0f} MiB",
        gateway_bytes=round(crossed),
        bytes=round(moved),
        since_start=largest(by_server),
        seconds=round(account.past(in_all).span(params.window), 1),
    )
