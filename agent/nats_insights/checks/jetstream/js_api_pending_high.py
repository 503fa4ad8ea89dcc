"""JETSTREAM_005: many JetStream API requests wait in a server."""

from nats_insights.check import VARZ, WARNING, Annotated, Finding, Params, Server, check, limit


class Waiting(Params, frozen=True):
    pending: Annotated[
        int, limit("requests", ">", clear=0.8, ge=1, description="not yet answered")
    ] = 1000


@check("JETSTREAM_005", WARNING, "performance", needs=(VARZ,), open_after=2, news=False)
def js_api_pending_high(server: Server, params: Waiting) -> Finding | None:
    """Many JetStream API requests wait in a server.

    Finds: in two evaluations in a row more than `pending` requests to the JetStream API, such as
    those that create or look up streams and consumers, were in a server and not yet answered.

    Why: clients wait for their answers, time out and ask again, which makes it worse. When 10,000
    wait, the server drops all of them without an answer.

    Do: find the clients that send most requests: those that create a consumer for each message, or
    look up streams and consumers all the time. Let them keep their consumers, and wait longer
    after each failure. Look also whether the disk of {server} is slow.

    Default: a tenth of what a server drops by default, and more than clients that start at once
    leave waiting for two evaluations.

    Catalogue: same.
    """
    api = server.jetstream_api
    if (reached := params.reached(api.inflight)) is None:
        return None
    return reached.finding(
        f"{api.inflight:,} JetStream API requests wait in {server.name}",
        total=api.total,
        errors=api.errors,
    )
