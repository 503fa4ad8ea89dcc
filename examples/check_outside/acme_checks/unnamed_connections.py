"""ACME_001: connections of an account that nobody can attribute."""

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
        float, limit("%", clear=0.8, gt=0, le=100, description="of the account's connections")
    ] = 50.0
    min_connections: Annotated[
        int, limit("connections", ge=1, description="an account with fewer is left alone")
    ] = 10


@fold("name")
def naming(rows: list[Connection], tally: Tally, params: object) -> None:
    """Connections of each account, those with a name and those without."""
    tally.update([(row.account, bool(row.name)) for row in rows])


@check("ACME_001", INFO, "consistency", needs=(STATZ, naming), open_after=2)
def unnamed_connections(account: Account, params: Unnamed) -> Finding | None:
    """Most clients of an account set no name.

    Finds: an account of which `percent` of the connections or more bear no name.

    Why: who looks for the client that leaks, lags or floods has nothing but an address to go by.

    Do: let each program of {account} set the name option of its client library.
    """
    connections = account.folded(naming)
    unnamed = connections[account.name, False]
    total = unnamed + connections[account.name, True]
    if total < params.min_connections:
        return None
    percent = 100 * unnamed / total
    if percent < params.percent:
        return None
    return Finding(
        value=round(percent, 1),
        threshold=params.percent,
        unit="%",
        summary=f"{unnamed:,} of {total:,} connections of account {account.name} have no name",
        evidence={"unnamed": unnamed, "connections": total},
    )
