"""SERVER_019: streams nearly fill the file storage that JetStream of a server may use."""

from nats_insights.check import (
    CRITICAL,
    VARZ,
    WARNING,
    Annotated,
    Finding,
    Params,
    Server,
    check,
    limit,
)


class Full(Params, frozen=True):
    warning_percent: Annotated[
        float,
        limit("%", severity=WARNING, clear=0.97, gt=0, le=100, description="of max_file_store"),
    ] = 90.0
    critical_percent: Annotated[
        float,
        limit("%", severity=CRITICAL, clear=0.98, gt=0, le=100, description="of max_file_store"),
    ] = 95.0


@check("SERVER_019", WARNING, "saturation", needs=(VARZ,))
def jetstream_storage_near_limit(server: Server, params: Full) -> Finding | None:
    """Streams nearly fill the file storage that JetStream of a server may use.

    Finds: the file streams of a server use `warning_percent` of its `max_file_store` or more;
    critical from `critical_percent`.

    Why: at its limit the server stores no more messages in any file stream, of any account, and
    their publishers get errors.

    Do: find the largest streams of {server} with `nats server report jetstream`, give them limits
    (`max_bytes`, `max_age`) or move some to other servers, or raise `max_file_store` if its disk
    has the space. Without `max_file_store` the server takes three quarters of the space that is
    free when it starts, so set it.

    Default: a tenth of the storage leaves time to react, a twentieth hardly any.

    Catalogue: same.
    """
    used, most = server.jetstream_stats.storage, server.jetstream_config.max_storage
    if most <= 0:
        return None
    percent = 100 * used / most
    if (reached := params.reached(percent)) is None:
        return None
    return reached.finding(
        f"file streams of {server.name} use {percent:.0f} % of what they may use, "
        f"{used / 2**20:,.1f} of {most / 2**20:,.1f} MiB",
        used=used,
        reserved=server.jetstream_stats.reserved_storage,
        max_storage=most,
    )
