"""CONSUMER_006: more deliveries wait for acknowledgement than the owner of the consumer allows."""

from nats_insights.check import (
    CRITICAL,
    JSZ_STREAMS,
    OFF,
    Annotated,
    Consumer,
    Finding,
    Params,
    check,
    limit,
)


class Outstanding(Params, frozen=True):
    messages: Annotated[
        int,
        limit(
            "messages",
            clear=0.9,
            ge=1,
            metadata="io.nats.monitor.outstanding-ack-critical",
            description="delivered and not acknowledged",
        ),
    ] = OFF


@check("CONSUMER_006", CRITICAL, "saturation", needs=(JSZ_STREAMS,), resolve_after=1)
def outstanding_ack_critical(consumer: Consumer, params: Outstanding) -> Finding | None:
    """A consumer waits for too many acknowledgements.

    Finds: of what a consumer delivered, `messages` or more are not acknowledged, as its leader
    says. The limit is off unless the owner of the consumer sets it in the metadata of the consumer,
    as `io.nats.monitor.outstanding-ack-critical` beside `io.nats.monitor.enabled`.

    Why: the clients are slow, hang, or forget to acknowledge. At `max_ack_pending` the consumer
    delivers nothing more, and what is not acknowledged in time is delivered again.

    Do: look at the clients of {consumer}, in account {account}: whether they run, and how long they
    take for a message. Add clients, or raise `ack_wait` and `max_ack_pending` where that is meant.

    Default: Only the owner knows how long the work of a message takes.

    Catalogue: same.
    """
    told = consumer.told
    if (reached := params.reached(told.num_ack_pending)) is None:
        return None
    _, stream, _, name = consumer.names
    return reached.finding(
        f"consumer {name} of stream {stream} waits for {told.num_ack_pending:,} acknowledgements",
        leader=consumer.leader,
        max_ack_pending=told.config.max_ack_pending if told.config else None,
        redelivered=told.num_redelivered,
        pending=told.num_pending,
    )
