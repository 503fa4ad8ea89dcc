"""Asks simulated servers without a real one between."""

from __future__ import annotations

import json
from typing import Any

from nats_insights.lab.fleet import replies, request
from nats_insights.lab.fleet.model import Fleet, Server
from nats_insights.lab.fleet.replies import Reply
from nats_insights.lab.fleet.request import Request


def read(endpoint: str, body: object = None, header: bytes = b"") -> Request:
    """The request as a server reads it; `body` is bytes, or an object to send as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    subject = f"$SYS.REQ.SERVER.PING.{endpoint}"
    if endpoint == "STATZ":
        subject = "$SYS.REQ.ACCOUNT.PING.STATZ"
    asked = request.read(subject, "_INBOX.x", header, sent)
    assert asked is not None
    return asked


def reply(fleet: Fleet, server: Server | str, endpoint: str, body: object = None) -> Reply | None:
    """What one server answers, before it is encoded."""
    if isinstance(server, str):
        server = fleet.server(server)
    return replies.reply(fleet, server, read(endpoint, body))


def ask(fleet: Fleet, server: Server | str, endpoint: str, body: object = None) -> Any:
    """The whole reply of one server, decoded; None if it is silent."""
    answer = reply(fleet, server, endpoint, body)
    return answer and json.loads(answer.plain())


def cids(fleet: Fleet, server: Server | str, body: object = None) -> list[int]:
    """The cids of one page of CONNZ."""
    rows = ask(fleet, server, "CONNZ", body)["data"]["connections"]
    return [row["cid"] for row in rows]
