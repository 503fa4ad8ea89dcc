"""CONN_901: most clients of an account have no name."""

from nats_insights.check import (
    INFO,
    STATZ,
    Account,
    Annotated,
    Connection,
    Finding,
    Params,
    Tally,
    check,
    fold,
    limit,
)


class Unnamed(Params, frozen=True):
    percent: Annotated[
        float, limit("%", clear=0.8, gt=0, le=100, description="of the connections of the account")
    ] = 50.0
    connections: Annotated[
        int, limit("connections", ge=1, description="without a name, of an account that matters")
    ] = 50


@fold("name", "mqtt_client", slow=True)
def unnamed(rows: list[Connection], tally: Tally, params: object) -> None:
    """Connections of each account that have no name."""
    tally.update([row.account for row in rows if not (row.name or row.mqtt_client)])


@check("CONN_901", INFO, "consistency", needs=(STATZ, unnamed), resolve_after=1, common=True)
def unnamed_clients(account: Account, params: Unnamed) -> Finding | None:
    """Most clients of an account have no name.

    Finds: at least `connections` connections of the account have no client name, and these are
    `percent` or more of all that it has. The id of an MQTT client is its name. Connections are
    surveyed every four hours.

    Why: who looks for the client that leaks connections, is slow or sends too much has only its
    address, which in a container platform says nothing.

    Do: let each program of {account} set the name option of its client library when it connects:
    the name of the program, and of its instance.

    Default: a few unnamed connections can still be told apart by their addresses.
    """
    if account.seen_connections < params.connections:
        return None
    count = account.folded(unnamed)[account.name]
    if count < params.connections:
        return None
    total = max(count, account.connections)  # Some may have come before the survey ended.
    if (reached := params.reached(100 * count / total, "percent")) is None:
        return None
    return reached.finding(
        f"{count:,} of {total:,} connections of account {account.name} have no name",
        unnamed=count,
        connections=total,
    )
