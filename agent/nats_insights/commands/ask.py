"""Ask a running agent a question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec
import nats.errors
from msgspec import Struct

from nats_insights import subjects
from nats_insights.client import Client
from nats_insights.connect import connect
from nats_insights.contexts import Settings
from nats_insights.errors import RequestError
from nats_insights.messages import FindingsReply, FindingState

R = TypeVar("R", bound=Struct)


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
        raise RequestError(f"no answer on {subject} within {timeout:g} s") from None
    except nats.errors.Error as error:
        raise RequestError(f"the connection broke before {subject} was answered: {error}") from None
    if reply.headers and (problem := reply.headers.get("Nats-Service-Error")):
        raise RequestError(problem)
    return _decode(subject, reply.data, into)


async def findings(settings: Settings, **filters: Any) -> FindingsReply:
    """All findings that pass the filters, page after page, as one reply."""
    client = await connect(settings, name="nats-insights")
    try:
        pages = [page async for page in _pages(client, filters)]
    finally:
        await client.close()
    found: list[FindingState] = [finding for page in pages for finding in page.findings]
    return msgspec.structs.replace(pages[-1], findings=found, offset=0, more=False)


async def _pages(client: Client, filters: dict[str, Any]) -> AsyncIterator[FindingsReply]:
    offset = 0
    while True:
        page = await query(client, "FINDINGS", FindingsReply, offset=offset, limit=1000, **filters)
        yield page
        offset += len(page.findings)
        if not page.more or not page.findings:
            return


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
        raise RequestError(f"the answer on {subject} is not one of an agent") from None
    raise RequestError(
        f"stream {acknowledged.stream} captures {subject} and answered instead of the agent: "
        "let it store $INSIGHTS.ADVISORY.> only"
    )
