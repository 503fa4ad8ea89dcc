"""Moments: a time as people write it in a request, or how long from now or ago."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from nats_insights import config
from nats_insights.errors import ConfigError
from nats_insights.tell.requests import Refused
from nats_insights.text import shortened


def ahead(text: str, now: float, field: str) -> float:
    """A time in RFC 3339, or how long from now, as Unix seconds; Refused if it is neither."""
    return _moment(text, now, field, 1)


def ago(text: str, now: float, field: str) -> float:
    """A time in RFC 3339, or how long ago, as Unix seconds; Refused if it is neither."""
    return _moment(text, now, field, -1)


def _moment(text: str, now: float, field: str, direction: int) -> float:
    try:
        return now + direction * config.seconds(text, field)
    except ConfigError:
        pass
    try:
        moment: datetime = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
    except msgspec.ValidationError:
        example = "a time such as 2026-11-22T14:00:00Z, or a duration such as 2h"
        raise Refused(400, f"{field} is {example}, not {shortened(text)!r}") from None
    return moment.timestamp()
