"""CHANGE_002: the JetStream domain of a server changed."""

from nats_insights.check import (
    VARZ,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    changes,
    check,
    duration,
)

_KEEP = 86_400


class Recent(Params, frozen=True):
    within: Annotated[
        float, duration("<=", gt=0, le=_KEEP, description="ago, as the agent saw it")
    ] = 3600.0


@changes(keep=_KEEP)
def domain(server: Server) -> tuple[bool, str]:
    jetstream = server.varz.jetstream
    if jetstream is None or jetstream.config is None:
        return False, ""
    return True, jetstream.config.domain


@check(
    "CHANGE_002", WARNING, "change", needs=(VARZ, domain), resolve_after=1, news=False, common=True
)
def jetstream_domain_changed(server: Server, params: Recent) -> Finding | None:
    """The JetStream domain of a server changed.

    Finds: within the last `within` a server of the same name came to have another JetStream domain
    than before, which takes a restart. JetStream that is switched on or off is no change.

    Why: clients that use the old domain, mirrors and sources in other domains no longer reach its
    streams. A server in another domain than its cluster is in a meta group of its own: it misses
    its replicas, and the others miss theirs.

    Do: if this was not meant, give {server} its former `domain` back and restart it. Else change
    the domain in clients, mirrors and sources, and see that all servers of {cluster} have it.

    Default: an hour, so that whoever looks for lost streams still sees it.

    Catalogue: corrected: a change by a restart is found, and it stays for an hour.
    """
    past = server.past(domain)
    ago = past.last_change
    if ago is None:
        return None
    (was_on, before), (is_on, now) = past.before, past.now
    if not (was_on and is_on) or (reached := params.reached(ago)) is None:
        return None
    return reached.finding(
        f"the JetStream domain of {server.name} changed from {before or 'none'} to {now or 'none'} "
        f"{ago:,.0f} s ago",
        before=before,
        now=now,
    )
