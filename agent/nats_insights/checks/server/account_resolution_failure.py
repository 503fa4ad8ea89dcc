"""SERVER_016: a server cannot resolve accounts that have streams."""

from nats_insights.check import HEALTHZ, WARNING, Annotated, Finding, Params, Server, check, limit

_NAMED = 10


class Unresolved(Params, frozen=True):
    accounts: Annotated[int, limit("accounts", ge=1, description="that cannot be resolved")] = 1


@check("SERVER_016", WARNING, "health", needs=(HEALTHZ,), open_after=2)
def account_resolution_failure(server: Server, params: Unresolved) -> Finding | None:
    """A server cannot resolve accounts whose streams it keeps.

    Finds: the server's own health check (HEALTHZ) names `accounts` accounts or more that it keeps
    streams of and cannot look up, at two looks in a row, a minute apart. Nothing is known while the
    server is not ready for connections, or something is wrong with its JetStream as a whole.

    Why: clients of the account cannot log in to this server, and it cannot recover the streams of
    the account: this replica is missing.

    Do: push the JWT of the account again with `nsc push`, or put the account back into the
    configuration of {server}, and check that it reaches its resolver. If the account was deleted on
    purpose, remove its directory from the store directory of {server}.

    Default: an account that keeps streams is never missing in an ordinary system.

    Catalogue: corrected: two looks, since a resolver may be away for a moment.
    """
    errors = server.reply(HEALTHZ).errors_of("ACCOUNT")
    if (reached := params.reached(len(errors))) is None:
        return None
    some = "1 account" if len(errors) == 1 else f"{len(errors):,} accounts"
    return reached.finding(
        f"{server.name} cannot resolve {some} whose streams it keeps",
        cleared=f"{server.name} resolves all accounts whose streams it keeps",
        accounts=[{"account": one.account, "error": one.error} for one in errors[:_NAMED]],
        left_out=max(0, len(errors) - _NAMED),
    )
