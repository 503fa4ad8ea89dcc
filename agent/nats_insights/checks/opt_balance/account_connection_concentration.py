"""OPT_BALANCE_006: most of an account's connections in a cluster are on one server."""

from nats_insights.check import (
    INFO,
    STATZ,
    AccountInCluster,
    Annotated,
    Finding,
    Params,
    check,
    limit,
)


class Concentration(Params, frozen=True):
    percent: Annotated[
        float,
        limit(
            "%",
            ">",
            clear=0.93,
            gt=0,
            lt=100,
            description="of the account's connections in the cluster, at most",
        ),
    ] = 70.0
    min_connections: Annotated[
        int, limit("connections", ge=2, description="an account with fewer is ignored")
    ] = 10
    min_servers: Annotated[
        int, limit("servers", ge=2, description="a cluster with fewer is ignored")
    ] = 3


@check(
    "OPT_BALANCE_006",
    INFO,
    "saturation",
    needs=(STATZ,),
    clients="connections",
    open_after=2,
    settle=True,
)
def account_connection_concentration(
    account: AccountInCluster, params: Concentration
) -> Finding | None:
    """Most connections of an account in a cluster are on one server.

    Finds: an account of which one server holds more than `percent` of the connections that it has
    in a cluster. Servers without a connection of the account count as servers of the cluster, so
    an account whose connections are all on one server is found too.

    Why: the loss of that server is an outage for this account, although the cluster lost only one
    of its servers, and all clients of the account reconnect at the same time.

    Do: configure the clients of {account} with every server of {cluster}; look for a host name that
    resolves to a single address, and for affinity of a load balancer or of a zone. Clients move
    when they reconnect.

    Default: Chance spreads ten connections over three servers more evenly in 99 of 100 cases.

    Catalogue: corrected: servers without a connection of the account count, so that all on one
    server is found.
    """
    if len(account.cluster.servers) < params.min_servers:
        return None
    by_server = account.by_server()
    total = sum(by_server.values())
    if total < params.min_connections:
        return None
    server = max(sorted(by_server), key=by_server.__getitem__)
    percent = 100 * by_server[server] / total
    if percent <= params.percent:
        return None
    return Finding(
        value=round(percent, 1),
        threshold=params.percent,
        unit="%",
        summary=f"{server} holds {by_server[server]:,} of the {total:,} connections "
        f"of account {account.account} in {account.cluster.name}",
        evidence={"server": server, "by_server": account.most()},
        servers=(server,),
    )
