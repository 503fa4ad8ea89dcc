"""Systems as tests tell them, and those that real servers replied with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from nats_insights import checks
from nats_insights.judge.declare import discover
from nats_insights.replies.connz import ROW_FIELDS, PageDecoder
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.fields import ServerInfo
from nats_insights.testing import (
    DAY,
    START,
    Server,
    Story,
    System,
    cluster,
    dead,
    finding,
    found,
    hung,
    left,
    lone,
    row,
    system,
)
from nats_insights.testing.systems import Replying

__all__ = [
    "CHECKS",
    "DAY",
    "START",
    "VERSIONS",
    "Server",
    "Story",
    "System",
    "cluster",
    "dead",
    "finding",
    "found",
    "hung",
    "left",
    "lone",
    "read",
    "recorded",
    "row",
    "system",
]

CHECKS = {check.name: check for check in discover(checks)}
VERSIONS = ("2.10.26", "2.11.11", "2.12.8", "2.14.6", "2.15.1")
RECORDED = Path(__file__).parent / "wire"


@cache
def recorded(version: str) -> System:
    """The three servers S1, S2, S3 that a real system of this version answered for."""
    text = (RECORDED / version / "SCENARIO_hotspot.json").read_text()
    replies: dict[str, dict[str, Any]] = {}
    infos = {}
    for endpoint, recording in json.loads(text)["endpoints"].items():
        for raw in recording["replies"]:
            endpoint = {"ACCOUNT_PING_STATZ": "STATZ"}.get(endpoint, endpoint)
            info, data = read(endpoint, json.dumps(raw).encode())
            replies.setdefault(info.id, {})[endpoint] = data
            infos[info.id] = info
    return System(tuple(Replying(infos[id], replies[id]) for id in infos), own="S3")


def read(endpoint: str, payload: bytes) -> tuple[ServerInfo, Any]:
    """A reply as the agent reads it, a page of CONNZ with every field that a fold may ask for."""
    if endpoint != "CONNZ":
        return endpoints()[endpoint].decode(payload)
    page = PageDecoder(ROW_FIELDS).decode(payload)
    return page.server, page
