"""Ask a running agent a question."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import nats.errors
from msgspec import Struct

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.errors import RequestError
from nats_insights.tell.messages import ListReply

# The most rows that are asked for at a time.
_PAGE = 1000
# Lists that are read anew if an epoch ended meanwhile; the last one is taken as it is.
_ATTEMPTS = 3
R = TypeVar("R", bound=Struct)
P = TypeVar("P", bound=ListReply)


async def ask(
    settings: Settings, name: str, into: type[R], *, timeout: float = 5.0, **body: Any
) -> R:
    """The reply to one query; RequestError, in one sentence, if there is none."""
    client = await connect(settings, name="nats-insights")
    try:
        return await query(client, name, into, timeout=timeout, **body)
    finally:
        await client.close()


async def query(
    client: Client, name: str, into: type[R], *, timeout: float = 5.0, **body: Any
) -> R:
    """The same on an open connection."""
    subject = subjects.api(name)
    try:
        reply = await client.request(subject, msgspec.json.encode(body), timeout=timeout)
    except nats.errors.NoRespondersError:
        raise RequestError(
            f"no agent answers on {subject}: start one with `nats-insights run`, or import the "
            "service from the system account if you are in another one"
        ) from None
    except nats.errors.TimeoutError:
        if denied := client.forbidden(subject):
            raise RequestError(f"the user may not use {denied}: allow it") from None
        raise RequestError(f"no reply on {subject} within {timeout:g} s") from None
    except nats.errors.Error as error:
        raise RequestError(f"the connection broke before {subject} was answered: {error}") from None
    if reply.headers and (problem := reply.headers.get("Nats-Service-Error")):
        raise RequestError(problem)
    return _decode(subject, reply.data, into)


async def all_pages(
    settings: Settings, name: str, into: type[P], field: str, *, most: int = 0, **filters: Any
) -> P:
    """The rows of a list that pass the filters, page after page, as one reply.

    `field` is the one that holds the rows; there are at most `most` of them, 0 is all.
    """
    client = await connect(settings, name="nats-insights")
    try:
        return await every_row(client, name, into, field, most=most, **filters)
    finally:
        await client.close()


async def every_row(
    client: Client, name: str, into: type[P], field: str, *, most: int = 0, **filters: Any
) -> P:
    """The same on an open connection."""
    for _ in range(_ATTEMPTS):
        reply, is_of_one_epoch = await _pages(client, name, into, field, most, filters)
        if is_of_one_epoch:
            break
    return reply


async def _pages(
    client: Client, name: str, into: type[P], field: str, most: int, filters: dict[str, Any]
) -> tuple[P, bool]:
    """The pages as one reply, and whether no epoch ended between them and changed the order."""
    rows: list[Any] = []
    epochs: set[int] = set()
    while True:
        limit = min(_PAGE, most - len(rows)) if most else _PAGE
        page = await query(client, name, into, offset=len(rows), limit=limit, **filters)
        epochs.add(page.agent.epoch)
        rows += (some := getattr(page, field))
        if not page.more or not some or len(rows) == most:
            reply = msgspec.structs.replace(page, **{field: rows}, offset=0)
            return reply, len(epochs) == 1


class _StreamAck(Struct):
    stream: str
    seq: int


def _decode(subject: str, payload: bytes, into: type[R]) -> R:
    try:
        return msgspec.json.decode(payload, type=into)
    except msgspec.MsgspecError:
        pass
    try:
        acknowledged = msgspec.json.decode(payload, type=_StreamAck)
    except msgspec.MsgspecError:
        raise RequestError(f"the reply on {subject} did not come from an agent") from None
    raise RequestError(
        f"stream {acknowledged.stream} captures {subject} and answered instead of the agent: "
        "let it store $INSIGHTS.ADVISORY.> only"
    )
