"""SERVER_006: the name of a JetStream domain has whitespace in it."""

from nats_insights.check import VARZ, WARNING, Finding, Server, check


@check("SERVER_006", WARNING, "consistency", needs=(VARZ,), common=True)
def jetstream_domain_whitespace(server: Server) -> Finding | None:
    """The name of a JetStream domain has whitespace in it.

    Finds: the JetStream `domain` that a server is configured with contains a space, a tab or a line
    break. Servers from 2.10 refuse to start with one.

    Why: the domain is a part of subjects (`$JS.<domain>.API.>`), and no subject can contain
    whitespace: nobody outside of the domain can reach its streams. An upgraded server does not
    start.

    Do: give the domain of {server} another name, on all servers of the domain at once, and change
    it in the clients and in the streams of other domains that mirror or source from it.

    Catalogue: same.
    """
    domain = server.jetstream_config.domain
    if not any(map(str.isspace, domain)):
        return None
    return Finding(
        summary=f"the JetStream domain {domain!r} of {server.name} has whitespace in its name",
        cleared=f"the JetStream domain of {server.name} has no whitespace in its name",
        evidence={"domain": domain},
    )
