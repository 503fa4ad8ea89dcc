"""OPT_PLACE_004: a gateway sends to another cluster what nobody there asked for."""

from nats_insights.check import GATEWAYZ, INFO, Finding, Gateway, check, is_from

# From this version on servers tell the other cluster all interest of each account.
INTEREST_ONLY = "2.9.0"


@check("OPT_PLACE_004", INFO, "performance", needs=(GATEWAYZ,), open_after=2)
def gateway_interest_mode(gateway: Gateway) -> Finding | None:
    """A gateway sends messages in which the other cluster may have no interest.

    Finds: the server at the other end of an outbound gateway connection is older than 2.9. Such a
    server does not tell what its clients subscribe to: it gets the messages of all accounts and
    refuses each subject that nobody wants, until it has refused a thousand of an account.

    Why: messages go from one cluster to the other, over what is mostly the most expensive link of a
    system, and are dropped there.

    Do: upgrade the servers of {remote} to 2.9 or newer.

    Catalogue: corrected: reads the version, since between newer servers no account is optimistic,
    and to ask for the mode of every account would cost much.
    """
    if gateway.outbound is None or is_from(INTEREST_ONLY, gateway.remote_version):
        return None
    return Finding(
        summary=f"{gateway.server.name} sends to {gateway.remote} without knowing its interest: "
        f"the server there runs {gateway.remote_version}",
        cleared=f"{gateway.server.name} knows what {gateway.remote} is interested in",
        evidence={"version": gateway.remote_version},
    )
