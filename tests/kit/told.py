"""Findings, heartbeats and replies as one agent sends them, made by hand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from nats_insights.facts import Access, Cost, Coverage
from nats_insights.tell.messages import (
    AgentInfo,
    Entity,
    EpochInfo,
    FindingsReply,
    FindingState,
    Heartbeat,
    OpenCounts,
    StatusReply,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AGENT = AgentInfo(id="east-1", instance=32 * "f", version="1.0", epoch=7, role="leader")
COVERAGE = Coverage(servers_known=9, servers_answered=7, missing=["n8", "n9"])


def finding(code: str, severity: str, summary: str, seconds: int = 0, **more: Any) -> FindingState:
    """A finding that opened so many seconds ago."""
    members: dict[str, Any] = {
        "state": "open",
        "code": code,
        "name": code.lower(),
        "title": code,
        "category": "saturation",
        "severity": severity,
        "fingerprint": hashlib.sha256(summary.encode()).hexdigest()[:32],
        "entity": Entity(kind="server", id="N", name="n1", cluster="EU", server="n1"),
        "summary": summary,
        "value": None,
        "threshold": None,
        "unit": "",
        "evidence": {},
        "remediation": "",
        "opened_at": NOW - timedelta(seconds=seconds),
        "updated_at": NOW,
        "revision": 1,
        "valid_until": NOW + timedelta(minutes=31),
    }
    return FindingState(**members | more)


# Severities, ages from seconds to days, names that are long, wide, or hostile to a terminal.
FINDINGS = [
    finding("OPT_BALANCE_006", "info", "n1 holds 40 of the 41 connections of account A in EU", 59),
    finding(
        "SERVER_011", "warning", "n1 has 52 of 60 connections (87 %)", 61, value=87, threshold=80
    ),
    finding("SERVER_011", "critical", "n2 has 59 of 60 connections (98 %)", 7200),
    finding(
        "USER_002",
        "warning",
        "user 東京 of account 大阪 holds 1,204 connections",
        200_000,
        value=1204,
        threshold=100,
    ),
    finding(
        "USER_002",
        "warning",
        "user \x1b[31m\u202e of account APP holds 150 connections",
        5,
        stale=NOW,
    ),
    finding(
        "SERVER_901",
        "warning",
        f"{60 * 'n'}8 is hung: it did not answer in time",
        3600,
        explained_by=32 * "0",
    ),
]


def heartbeat(**more: Any) -> Heartbeat:
    """A heartbeat of an agent that leads, or of another one."""
    members: dict[str, Any] = {
        "id": 32 * "a",
        "timestamp": NOW,
        "agent": AGENT,
        "coverage": COVERAGE,
        "verdict": "critical",
        "interval_seconds": 30.0,
        "silent_after_seconds": 100.0,
        "leading_since": NOW,
        "open": OpenCounts(critical=1, warning=4, info=1),
        "cost": Cost(),
    }
    return Heartbeat(**members | more)


def status(**more: Any) -> StatusReply:
    """The reply to STATUS of the same agent."""
    members: dict[str, Any] = {
        "timestamp": NOW - timedelta(seconds=30),
        "agent": AGENT,
        "coverage": COVERAGE,
        "verdict": "critical",
        "open": OpenCounts(),
        "epoch": EpochInfo(number=7, started_at=NOW, interval_seconds=30.0),
        "not_evaluated": [],
        "access": Access(mode="system", account="SYS", user="insights"),
        "cost": Cost(),
    }
    return StatusReply(**members | more)


def listing(*findings: FindingState) -> FindingsReply:
    """The reply to FINDINGS."""
    return FindingsReply(
        timestamp=NOW, agent=AGENT, coverage=COVERAGE, total=len(findings), offset=0, more=False,
        findings=list(findings),
    )  # fmt: skip
