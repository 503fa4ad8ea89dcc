"""CONN_903: a server refuses many logins."""

from collections import Counter

from nats_insights.check import (
    CONNZ_CLOSED,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    duration,
    evidence_of_closed,
    largest,
    limit,
)

FAILED = "Authentication Failure"


class Refused(Params, frozen=True):
    refused: Annotated[
        int, limit("logins", clear=0.8, ge=1, le=64, description="refused in the window")
    ] = 30
    window: Annotated[
        float, duration("<=", ge=1, le=86_400, description="before the look at the server")
    ] = 900.0


@check("CONN_903", WARNING, "errors", needs=(CONNZ_CLOSED,), news=False, common=True)
def logins_refused(server: Server, params: Refused) -> Finding | None:
    """A server refuses many logins.

    Finds: in the last `window` a server closed at least `refused` connections for failed
    authentication, among the 64 connections that it closed last. Connections that are opened and
    closed without a word, as by a load balancer that tests the port, are not counted.

    Why: a client with wrong or expired credentials tries again for ever: what it does for others
    is not done, and each attempt costs the server a TLS handshake and a look at its users. Very
    many attempts from one address may be somebody who guesses.

    Do: see from which addresses and by which client names these logins come: `nats-insights
    findings --code CONN_903 --format json` has them. Give these clients valid credentials, or stop
    them. If all of one account are concerned, see whether its JWT reached {server}.

    Default: a client that reconnects after two seconds is refused 30 times in a minute, and typing
    errors are rare.
    """
    refused = [row for row in server.closed if row.reason == FAILED and row.ago <= params.window]
    if (reached := params.reached(len(refused), "refused")) is None:
        return None
    return reached.finding(
        f"{server.name} refused {len(refused)} logins in the last {refused[-1].ago:,.0f} s",
        by_address=largest(Counter(row.ip for row in refused)),
        **evidence_of_closed(refused),
    )
