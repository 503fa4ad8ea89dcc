"""USER_002: one user holds very many connections."""

from nats_insights.check import (
    WARNING,
    Annotated,
    Finding,
    Params,
    System,
    User,
    by_user,
    check,
    limit,
)


class Ceiling(Params, frozen=True):
    max_connections: Annotated[
        int,
        limit(
            "connections",
            ">",
            clear=0.9,
            ge=1,
            description="of one user on all servers together, to be exceeded",
        ),
    ] = 100


def nobody_can_have_passed(system: System, params: Ceiling) -> bool:
    if system.no_account_exceeds(params.max_connections):
        return True
    return system.largest_of(by_user) + system.accepted <= params.max_connections


@check(
    "USER_002",
    WARNING,
    "saturation",
    needs=(by_user,),
    clients="connections",
    rules_out=nobody_can_have_passed,
    above="max_connections",
)
def excessive_user_connections(user: User, params: Ceiling) -> Finding | None:
    """One user has more connections than a service should need.

    Finds: one (account, user) has more than `max_connections` connections on all servers together.
    The same name in two accounts is two users; clients without a user name are not counted.

    Why: a client that leaks connections uses up memory and file descriptors, and at last the
    connection limit of the account or of a server, which affects all other clients.

    Do: keep one connection per process and close a connection that failed. Look at the idle
    connections of {user} in {account} first. Give each service a user of its own, and raise the
    limit by an override for a user that is shared by many instances.

    Default: A service of a hundred instances with a user of its own is rare; leaks pass a
    hundred soon.

    Catalogue: corrected: clients only, never those of the system account, and a limit for each
    user.
    """
    if user.seen_connections <= params.max_connections:
        return None
    return Finding(
        value=user.seen_connections,
        threshold=params.max_connections,
        unit="connections",
        summary=f"user {user.name} of account {user.account} holds "
        f"{user.seen_connections:,} connections",
        evidence={"by_server": (most := user.most())},
        servers=tuple(name for name, _ in most["top"]),
    )
