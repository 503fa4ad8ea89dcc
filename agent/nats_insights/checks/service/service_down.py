"""SERVICE_002: a micro service has no instance any more."""

from nats_insights.check import (
    CONNZ_SERVICES,
    CRITICAL,
    STATZ,
    Annotated,
    Finding,
    Params,
    Service,
    check,
    duration,
)


class Absence(Params, frozen=True):
    within: Annotated[
        float, duration(ge=0, le=86_400, insights=0.0, description="without any instance")
    ] = 300.0
    known_for: Annotated[
        float,
        duration(ge=0, le=86_400, insights=0.0, description="that it had instances before that"),
    ] = 3600.0


@check(
    "SERVICE_002",
    CRITICAL,
    "health",
    needs=(STATZ, CONNZ_SERVICES),
    open_after=2,
    resolve_after=1,
    news=False,
    common=True,
)
def service_down(service: Service, params: Absence) -> Finding | None:
    """A micro service has no instance any more.

    Finds: a NATS micro service that had instances for at least `known_for` has had none for
    `within`, on any server. It does not matter whether the last one stopped in an orderly way or
    crashed. Instances are recognised by their subscriptions; gaps of less than ten minutes do not
    count as an end. The finding resolves when an instance is back, or after a day.

    Why: requests to {service} fail with `no responders`, or wait for their timeout.

    Do: start an instance of {service} in account {account}, and read the log of those that ran
    last. If the service was shut down for good, nothing is to be done: the finding ends after a
    day.

    Default: a restart takes less than five minutes, and what runs for less than an hour is a test
    or a job.

    Catalogue: corrected: a lost reply, a restart and a short-lived service are no finding.
    """
    absent = service.absent
    if not absent or (reached := params.reached(absent, "within")) is None:
        return None
    last = service.remembered
    if last.last - last.since < params.known_for:
        return None
    account, name = service.names
    return reached.finding(
        f"service {name} of account {account} has had no instance for {absent / 60:.0f} minutes; "
        f"it had {last.instances}",
        cleared=f"service {name} of account {account} has an instance again",
        instances_before=last.instances,
        servers_before=last.servers,
    )
