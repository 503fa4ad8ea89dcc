"""Turns a right reply into what a server gone wrong would send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from nats_insights.lab.fleet.replies import Reply

Malformation: TypeAlias = Literal[
    "", "garbage", "truncated", "cut_off", "null_record", "wrong_type"
]


class Misbehaviour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one server does wrong; dead servers are the fleet's affair (`Fleet.kill`).

    `endpoints` are the ones concerned, all if empty. It answers `delay` seconds late, or, `hung`,
    never; sends so many `duplicates`; `claims` to be the server of that name; closes
    `closes_between_pages` connections that were read already before it answers a page of CONNZ
    that is not the first.

    `malformed` is `garbage` (not JSON), `truncated` (JSON that ends early), `cut_off` (bytes of
    the encoded body are missing), `null_record` (null for one record of a list, or, in a reply
    without one, for a figure) or `wrong_type` (a text for one figure).
    """

    endpoints: frozenset[str] = frozenset()
    delay: float = 0.0
    hung: bool = False
    duplicates: int = 0
    claims: str = ""
    closes_between_pages: int = 0
    malformed: Malformation = ""

    def concerns(self, endpoint: str) -> bool:
        return not self.endpoints or endpoint in self.endpoints


OBEDIENT = Misbehaviour()


def spoil(reply: Reply, malformation: Malformation, encoding: str) -> tuple[bytes, bytes]:
    """The header block and the body of a reply, malformed as wished."""
    if malformation == "cut_off":
        header, body = reply.encoded(encoding)
        return header, body[: len(body) // 2]
    if malformation:
        plain = _SPOILERS[malformation](reply.plain())
        reply = Reply(plain, compressible=reply.compressible)
    return reply.encoded(encoding)


def _null_record(plain: bytes) -> bytes:
    def spoil(members: Any, key: Any) -> None:
        members[key] = None

    return _changed(plain, spoil)


def _wrong_type(plain: bytes) -> bytes:
    def spoil(members: Any, key: Any) -> None:
        record = members[key]
        if isinstance(record, dict):
            members, key = record, _a_figure(record)
        members[key] = "many"

    return _changed(plain, spoil)


def _changed(plain: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """The reply with `change` done to the last record of a list, or else to a figure."""
    envelope = msgspec.json.decode(plain)
    data = envelope.get("data") or envelope.get("statsz") or envelope
    lists = [value for value in data.values() if isinstance(value, list) and value]
    if lists:
        change(lists[0], -1)
    else:
        change(data, _a_figure(data))
    return msgspec.json.encode(envelope)


def _a_figure(record: dict[str, Any]) -> str:
    """The name of a figure of a record: what matters, if it is there; of anything if none is."""
    figures = [name for name, value in record.items() if type(value) is int]
    wanted = [name for name in ("subscriptions", "conns") if name in figures]
    return next(iter(wanted or figures or record))


_SPOILERS: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda _: b"\x00 this is not JSON",
    "truncated": lambda plain: plain[: len(plain) // 2],
    "null_record": _null_record,
    "wrong_type": _wrong_type,
}
