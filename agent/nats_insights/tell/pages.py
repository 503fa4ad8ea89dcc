"""Pages: the part of a list that was requested and fits into a reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from nats_insights.tell.advisory import at, brief, fitting
from nats_insights.tell.messages import FindingState, ListRequest
from nats_insights.tell.view import View

# A reply ends before this many bytes, and before the server's max_payload; the rest is paged.
LONGEST = 256 * 1024
# The bytes of a page beside its head and its rows: type, total, offset, more.
_FRAME = 160


def head(view: View) -> dict[str, Any]:
    """The members that every reply has."""
    return {
        "timestamp": at(time.time()),
        "agent": view.agent,
        "coverage": brief(view.coverage),
    }


def part(
    view: View,
    request: ListRequest,
    rows: Sequence[Any],
    field: str,
    make: Callable[[Any], Any] = lambda row: row,
    **more_fields: Any,
) -> dict[str, Any]:
    """The members of a list reply with the requested rows in `field`, each as `make` makes it."""
    members = head(view) | more_fields
    room = min(LONGEST, view.max_payload) - len(msgspec.json.encode(members)) - _FRAME
    taken: list[Any] = []
    for row in map(make, rows[request.offset : request.offset + request.limit]):
        if isinstance(row, FindingState) and not taken:
            row = fitting(row, room)
        room -= len(msgspec.json.encode(row)) + 1
        if room < 0 and taken:
            break
        taken.append(row)
    more = request.offset + len(taken) < len(rows)
    page = {field: taken, "total": len(rows), "offset": request.offset, "more": more}
    return members | page
