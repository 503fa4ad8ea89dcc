"""SERVER_005: streams nearly fill the memory that JetStream of a server may use."""

from nats_insights.check import OFF, VARZ, WARNING, Annotated, Finding, Params, Server, check, limit


class Pressure(Params, frozen=True):
    used_percent: Annotated[
        float,
        limit(
            "%",
            severity=WARNING,
            clear=0.95,
            insights=OFF,
            gt=0,
            le=100,
            description="of max_memory_store, in use",
        ),
    ] = 90.0
    used_of_reserved_percent: Annotated[
        float,
        limit(
            "%",
            severity=WARNING,
            clear=0.95,
            insights=90.0,
            gt=0,
            le=100,
            description="of what streams reserve by their max_bytes, in use",
        ),
    ] = OFF


@check("SERVER_005", WARNING, "saturation", needs=(VARZ,))
def jetstream_memory_pressure(server: Server, params: Pressure) -> Finding | None:
    """Streams in memory nearly fill what JetStream of a server may use.

    Finds: the streams that a server keeps in memory use `used_percent` of its `max_memory_store` or
    more. On request also where they use `used_of_reserved_percent` of the `max_bytes` of all
    streams in memory, those without `max_bytes` included in what is used.

    Why: at its limit the server stores no more messages in any stream in memory, of any account.

    Do: give the streams in memory of {server} limits (`max_bytes`, `max_age`), move large ones to
    file storage or to other servers, or raise `max_memory_store` if the machine has the memory.

    Default: the limit of the server binds all streams, while a stream that drops its oldest
    messages fills what it reserves by design, so that this basis is off.

    Catalogue: corrected: of the limit of the server; its own basis, what is reserved, can be set.
    """
    used, reserved = server.jetstream_stats.memory, server.jetstream_stats.reserved_memory
    if not used:  # As mostly.
        return None
    most = server.jetstream_config.max_memory
    for name, basis, what in (
        ("used_percent", most, "it may use"),
        ("used_of_reserved_percent", reserved, "its streams reserve"),
    ):
        percent = 100 * used / basis if basis > 0 else 0.0
        if (reached := params.reached(percent, name)) is not None:
            return reached.finding(
                f"streams in memory of {server.name} use {percent:.0f} % of what {what}, "
                f"{used / 2**20:,.1f} of {basis / 2**20:,.1f} MiB",
                used=used,
                reserved=reserved,
                max_memory=most,
            )
    return None
