"""SYSTEM_902: expected servers were never seen."""

from nats_insights.check import WARNING, Finding, System, check


@check("SYSTEM_902", WARNING, "health", needs=(), open_after=2, resolve_after=1)
def expected_servers_missing(system: System) -> Finding | None:
    """Servers that the configuration expects are not known.

    Finds: there are fewer servers than `expect` in the configuration says, or servers that it names
    are not known. A server that died counts as known until it is forgotten, and has a finding of
    its own; a server that was shut down does not count.

    Why: a server that did not start with the others was never part of the system, so no other check
    can report it.

    Do: start the missing servers, and check their logs and their routes. If there should be fewer
    servers from now on, change `expect` in the agent's configuration.
    """
    if not system.never_seen:
        return None
    names = ", ".join(system.names_never_seen[:3])
    more = ", and others" if len(system.names_never_seen) > 3 else ""
    return Finding(
        value=system.expected - system.never_seen,
        threshold=system.expected,
        unit="servers",
        summary=f"{system.never_seen} of {system.expected} expected servers are not known"
        + (f": {names}{more}" if names else ""),
        cleared="all expected servers are known",
        evidence={"names": system.names_never_seen[:10]} if names else {},
    )
