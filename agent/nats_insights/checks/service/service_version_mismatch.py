"""SERVICE_001: instances of one service use different versions of the client library."""

from collections import Counter

from nats_insights.check import (
    CONNZ_SERVICES,
    INFO,
    STATZ,
    Annotated,
    Finding,
    Params,
    Service,
    check,
    largest,
    limit,
)


class Libraries(Params, frozen=True):
    most: Annotated[
        int, limit("libraries", ">", ge=1, description="of different language or version")
    ] = 1


@check("SERVICE_001", INFO, "consistency", needs=(STATZ, CONNZ_SERVICES), open_after=60)
def service_version_mismatch(service: Service, params: Libraries) -> Finding | None:
    """Instances of a micro service use different client libraries.

    Finds: the instances of one NATS micro service in one account use more than `most` different
    client libraries, by language and version, for longer than a deployment takes: an hour, if the
    endpoint is read each minute. The version of the service itself is not known to any server.

    Why: as a rule they come from different builds, so that requests are answered by old and by new
    code, and a fault that was fixed is still there in some.

    Do: finish the deployment of {service} in account {account}, or undo it. `nats micro info
    {service}` shows the version of each instance. If it is written in several languages on purpose,
    raise `most`.

    Default: instances of one build use one library.

    Catalogue: corrected: info and after an hour, since it compares libraries and not services.
    """
    instances = [one for one in service.instances if one.lang or one.version]
    libraries = Counter(f"{one.lang} {one.version}".strip() for one in instances)
    if (reached := params.reached(len(libraries))) is None:
        return None
    account, name = service.names
    (usual, most), *_ = sorted(libraries.items(), key=lambda item: (-item[1], item[0]))
    return reached.finding(
        f"{len(instances) - most} of {len(instances)} instances of service {name} of account "
        f"{account} do not use {usual}",
        cleared=f"all instances of service {name} of account {account} use one client library",
        libraries=largest(libraries),
    )
