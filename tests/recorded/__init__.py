"""One small real system per server version, as its servers described it: see `record`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def recorded(version: str) -> dict[str, list[dict[str, Any]]]:
    """All replies of the system recorded on servers of this version, by endpoint.

    An endpoint that was asked in several ways has a name for each: `record.REQUESTS` has them
    all. The replies are whole envelopes as the servers sent them, ordered by server name.
    """
    replies: dict[str, list[dict[str, Any]]] = json.loads(file(version).read_text("utf-8"))
    return replies


def file(version: str) -> Path:
    """The file of a version: one JSON object, each reply on a line of its own."""
    return HERE / f"{version}.json"
