"""The result of a check for one noun: a finding and its severity."""

from __future__ import annotations

import enum
from typing import Any

from msgspec import Struct

from nats_insights.facts import Names


class Severity(enum.IntEnum):
    """The severity of a finding, ordered."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    def __str__(self) -> str:
        return self.name.lower()


INFO, WARNING, CRITICAL = Severity
SEVERITIES = {str(severity): severity for severity in Severity}


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """The result of a check for one noun: one sentence with the numbers, and its figures.

    `value` was compared with `threshold`, both in `unit`; `severity` is set only if it differs from
    the check's; `servers` are those with its clients, the one with most first. `cleared` is the
    sentence for its end, if the check has no figures then. `involves` are the stable names of other
    entities that it rests on: a problem of one of them explains it.
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
