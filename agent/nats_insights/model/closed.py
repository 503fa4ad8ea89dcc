"""Closed connections: each server keeps the last ones, with the reason for which each was closed.

Nothing is remembered from reply to reply: each says how long ago its connections were closed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model.fold import is_anonymous
from nats_insights.model.nouns.noun import largest
from nats_insights.model.worst import MOST_TEXT, ROW_BYTES, evidence_of
from nats_insights.replies.connz import CONNZ, Closed, ClosedRows
from nats_insights.replies.endpoint import Endpoint

if TYPE_CHECKING:
    from nats_insights.model.nouns.system import System

K = TypeVar("K", bound=Hashable)

_ROWS = 64
_NAMED = 10
_CLOSED = 1  # Servers refuse the state as a word.

# A server that has closed none has no list to send.
CONNZ_CLOSED = Endpoint(
    CONNZ.name,
    ClosedRows,
    msgspec.json.encode({"auth": True, "state": _CLOSED, "sort": "stop", "limit": _ROWS}),
    weight=_ROWS * ROW_BYTES,
    every=600.0,
    packed=True,
    key=f"{CONNZ.name}_CLOSED",
    without=lambda varz: None if varz.total_connections > varz.connections else ClosedRows(),
)


def closed_by_account(system: System) -> dict[str, list[Closed]]:
    """The closed connections of the clients of each account, the latest first."""
    return _grouped(system, lambda row: row.account)


def closed_by_user(system: System) -> dict[Names, list[Closed]]:
    """The same by (account, user), without anonymous clients."""
    found = _grouped(system, lambda row: (row.account, row.authorized_user))
    return {names: rows for names, rows in found.items() if not is_anonymous(*names)}


def evidence_of_closed(rows: Collection[Closed]) -> dict[str, Any]:
    """How many were closed for which reason, and the first of them."""
    top = [
        evidence_of(row) | {"reason": row.reason[:MOST_TEXT], "seconds_ago": round(row.ago)}
        for row in [*rows][:_NAMED]
    ]
    reasons = Counter(row.reason[:MOST_TEXT] for row in rows)
    return {"by_reason": largest(reasons), "closed": {"top": top, "left_out": len(rows) - len(top)}}


def _grouped(system: System, key: Callable[[Closed], K]) -> dict[K, list[Closed]]:
    found: dict[K, list[Closed]] = defaultdict(list)
    for row in _logged_in(system):
        found[key(row)].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: (row.ago, row.server, row.cid))
    return dict(found)


def _logged_in(system: System) -> Iterator[Closed]:
    """Those that had logged in, but to a system account."""
    for server in system.snapshot.servers.values():
        with suppress(Missing):
            own = server.varz.system_account
            yield from (r for r in server.closed if not r.refused and r.account != own)
