"""SERVER_017: streams reserve more file storage than JetStream of a server may use."""

from nats_insights.check import OFF, VARZ, WARNING, Annotated, Finding, Params, Server, check, limit


class Pressure(Params, frozen=True):
    reserved_percent: Annotated[
        float,
        limit(
            "%",
            ">",
            severity=WARNING,
            insights=OFF,
            gt=0,
            le=1000,
            description="of max_file_store, reserved by max_bytes",
        ),
    ] = 100.0
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


@check("SERVER_017", WARNING, "saturation", needs=(VARZ,))
def jetstream_storage_pressure(server: Server, params: Pressure) -> Finding | None:
    """Streams reserve more file storage than JetStream of a server may use.

    Finds: the `max_bytes` of all file streams on a server are more than `reserved_percent` of its
    `max_file_store`, as after that was lowered. On request also where file streams use
    `used_of_reserved_percent` of their `max_bytes`, streams without `max_bytes` included in what is
    used. What is used of `max_file_store` itself is found by SERVER_019.

    Why: the server cannot keep what it promised: streams stop below their own limits, and no stream
    that reserves storage can be placed on it. Before 2.12 it may not even restore them at a start.

    Do: raise `max_file_store` of {server} if its disk has the space. Else lower `max_bytes` of its
    streams, or move some to other servers. Without `max_file_store` the server takes three quarters
    of the space that is free when it starts, so set it.

    Default: a server may be reserved in full on purpose, and streams that drop their oldest
    messages fill what they reserve, so only what exceeds the server is found.

    Catalogue: corrected: what is reserved, of the limit; its own basis, used of reserved, can be
    set.
    """
    used, reserved = server.jetstream_stats.storage, server.jetstream_stats.reserved_storage
    if not reserved:  # As mostly.
        return None
    most = server.jetstream_config.max_storage
    for name, figure, basis, what in (
        ("reserved_percent", reserved, most, "reserve {:.0f} % of what it may use"),
        ("used_of_reserved_percent", used, reserved, "use {:.0f} % of what they reserve"),
    ):
        percent = 100 * figure / basis if basis > 0 else 0.0
        if (reached := params.reached(percent, name)) is not None:
            return reached.finding(
                f"file streams of {server.name} {what.format(percent)}, "
                f"{figure / 2**20:,.1f} of {basis / 2**20:,.1f} MiB",
                used=used,
                reserved=reserved,
                max_storage=most,
            )
    return None
