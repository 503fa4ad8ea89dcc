"""What a check says of one noun: a finding, and how severe it is."""

from __future__ import annotations

import enum
from typing import Any

from msgspec import Struct

from nats_insights.facts import Names


class Severity(enum.IntEnum):
    """How much a finding matters, in an order."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    def __str__(self) -> str:
        return self.name.lower()


INFO, WARNING, CRITICAL = Severity
SEVERITIES = {str(severity): severity for severity in Severity}


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """What a check says of one noun: one sentence with the numbers, and the figures behind it.

    `value` decided against `threshold`, both in `unit`; `severity` only where it is not the
    check's own; `servers` are those whose clients make it up, the fullest first. `cleared` is the
    sentence for its end, where the check has no figures to tell then. `involves` are the stable
    names of other entities that it rests on: what is wrong with one of them explains it.
    """

    summary: str
    value: float | None = None
    threshold: float | None = None
    unit: str = ""
    severity: Severity | None = None
    evidence: dict[str, Any] = {}
    servers: tuple[str, ...] = ()
    cleared: str = ""
    involves: tuple[Names, ...] = ()
