"""Systems as tests tell them, and those that real servers replied with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from kit.endpoints import of_one_request
from nats_insights import testing
from nats_insights.checks.agent.agent_cut_off import agent_cut_off
from nats_insights.checks.agent.agent_failed import agent_failed
from nats_insights.checks.agent.agent_isolated import agent_isolated
from nats_insights.checks.agent.agent_late import agent_late
from nats_insights.checks.opt_balance.account_connection_concentration import (
    account_connection_concentration,
)
from nats_insights.checks.opt_balance.connection_hotspot import connection_hotspot
from nats_insights.checks.opt_balance.subscription_hotspot import subscription_hotspot
from nats_insights.checks.server.connection_count_high import connection_count_high
from nats_insights.checks.server.server_not_answering import server_not_answering
from nats_insights.checks.user.excessive_user_connections import excessive_user_connections
from nats_insights.judge.declare import Check
from nats_insights.replies.connz import ROW_FIELDS, PageDecoder
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.fields import ServerInfo
from nats_insights.testing import (
    DAY,
    START,
    Server,
    System,
    cluster,
    consumer,
    dead,
    finding,
    found,
    hung,
    jetstream,
    left,
    lone,
    routes_to,
    row,
    stream,
    system,
)
from nats_insights.testing.systems import Replying
from recorded import recorded as everything

__all__ = [
    "DAY",
    "FOUNDING",
    "OF_SILENCE",
    "START",
    "VERSIONS",
    "Server",
    "Story",
    "System",
    "cluster",
    "consumer",
    "dead",
    "finding",
    "found",
    "hung",
    "jetstream",
    "left",
    "lone",
    "read",
    "recorded",
    "routes_to",
    "row",
    "stream",
    "system",
    "whole",
]

# The checks that tests of all else run: a new check is no business of theirs.
FOUNDING: dict[str, Check] = {
    check.name: check
    for check in (
        connection_hotspot,
        subscription_hotspot,
        account_connection_concentration,
        connection_count_high,
        excessive_user_connections,
    )
}
# What an agent tells of itself, and of servers that do not answer.
OF_SILENCE: dict[str, Check] = {
    check.name: check
    for check in (agent_cut_off, agent_failed, agent_isolated, agent_late, server_not_answering)
}

VERSIONS = ("2.10.26", "2.11.11", "2.12.8", "2.14.6", "2.15.1")
RECORDED = Path(__file__).parent / "wire"


class Story(testing.Story):
    """A story of the founding checks, where no others are named."""

    def __init__(
        self,
        config: str = "",
        checks: Iterable[Check] = tuple(FOUNDING.values()),
        *,
        settle: float = 0.0,
    ) -> None:
        super().__init__(config, checks, settle=settle)


@cache
def recorded(version: str) -> System:
    """The three servers S1, S2, S3 that a real system of this version answered for."""
    text = (RECORDED / version / "SCENARIO_hotspot.json").read_text()
    replies: dict[str, dict[str, Any]] = {}
    infos = {}
    for endpoint, recording in json.loads(text)["endpoints"].items():
        for raw in recording["replies"]:
            endpoint = {"ACCOUNT_PING_STATZ": "STATZ"}.get(endpoint, endpoint)
            for one in of_one_request(endpoint):
                info, data = read(one, json.dumps(raw).encode())
                replies.setdefault(info.id, {})[one] = data
                infos[info.id] = info
    return System(tuple(Replying(infos[id], replies[id]) for id in infos), own="S3")


@cache
def whole(version: str) -> System:
    """All servers of the system of `tests/recorded`, with every endpoint: EU, US and a leaf."""
    replies: dict[str, dict[str, Any]] = {}
    infos = {}
    for name, envelopes in everything(version).items():
        endpoint = {"JSZ_DETAIL": "JSZ_STREAMS"}.get(name, name)
        for raw in envelopes if endpoint in endpoints() else ():
            for one in of_one_request(endpoint):
                info, data = read(one, json.dumps(raw).encode())
                replies.setdefault(info.id, {})[one] = data
                infos[info.id] = info
    return System(tuple(Replying(infos[id], replies[id]) for id in infos), own="eu1")


def read(endpoint: str, payload: bytes) -> tuple[ServerInfo, Any]:
    """A reply as the agent reads it, a page of CONNZ with every field that a fold may ask for."""
    if endpoint != "CONNZ":
        return endpoints()[endpoint].decode(payload)
    page = PageDecoder(ROW_FIELDS).decode(payload)
    return page.server, page
