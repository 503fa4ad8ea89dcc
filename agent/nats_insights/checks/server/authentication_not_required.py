"""SERVER_007: anybody who reaches a server can use it."""

import ipaddress
from contextlib import suppress

from nats_insights.check import CRITICAL, VARZ, Annotated, Finding, Params, Server, check, flag


class Open(Params, frozen=True):
    loopback: Annotated[
        bool, flag(insights=True, description="report servers that only listen on loopback, too")
    ] = False
    certificates: Annotated[
        bool, flag(insights=True, description="report servers that verify certificates, too")
    ] = False


@check("SERVER_007", CRITICAL, "consistency", needs=(VARZ,), resolve_after=1, common=True)
def authentication_not_required(server: Server, params: Open) -> Finding | None:
    """Clients need not authenticate.

    Finds: a server has neither users nor nkeys, a token, trusted operators or an auth callout, and
    it listens on an address that other machines reach. A server that verifies the certificates of
    its clients is reported if you set `certificates`, and one that only listens on loopback, as a
    leaf node beside its client may, if you set `loopback`. A user for those who send no credentials
    (`no_auth_user`) is meant, and not reported. A server that has no accounts but the system
    account lets everybody into `$G`, and does not tell.

    Why: whoever reaches the port reads and publishes all messages of its account, on every server
    that this one is connected to, and can delete its streams.

    Do: configure users, nkeys or operators for {server}, as for the other servers of its system, or
    include the file that has them; then reload it. Let a server that only serves its own machine
    listen on 127.0.0.1.

    Catalogue: corrected: leaf nodes on loopback, and clients with verified certificates, are meant.
    """
    varz = server.varz
    if varz.auth_required:
        return None
    listens = [varz, varz.websocket, varz.mqtt]
    hosts = sorted({one.host or "0.0.0.0" for one in listens if one is not None and one.port})
    if not params.loopback and all(map(_is_loopback, hosts)):
        return None
    if not params.certificates and varz.tls_verify:
        return None
    return Finding(
        summary=f"{server.name} lets in clients without authentication on {', '.join(hosts)}",
        cleared=f"{server.name} no longer lets everybody in",
        evidence={"listens_on": hosts, "tls_required": varz.tls_required},
    )


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
