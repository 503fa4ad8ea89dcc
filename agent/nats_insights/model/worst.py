"""The worst connections of each server: rows that are read, where a fold only counts them.

Servers sort by some figures themselves, so each sends a few rows and not all of them. As these
figures change all the time, they are asked seldom, and never make a server list all that it has.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from nats_insights.errors import DeclarationError
from nats_insights.replies.connz import CONNZ, SORTS, Row, Rows
from nats_insights.replies.endpoint import Endpoint

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server
    from nats_insights.model.nouns.system import System
    from nats_insights.model.snapshot import Snapshot

# Rows of one server: more of them are a sweep.
MOST_ROWS = 256
ROW_BYTES = 600
# The texts of a row that go into evidence are cut to this length.
_MOST_TEXT = 128
_NAMED = 10
_ROWS, _EVERY = 16, 60.0


class Worst(Struct, frozen=True, eq=False):
    """The `rows` connections of each server that have most of `field`, and which of them matter."""

    matters: Callable[[Any, Any], bool]
    field: str
    rows: int
    endpoint: Endpoint[Rows]

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.matters.__name__

    def __hash__(self) -> int:
        return hash(self.matters)

    def by_account(self, system: System) -> dict[str, list[Row]]:
        """What came of the clients of each account, the worst first."""
        found: dict[str, list[Row]] = defaultdict(list)
        for server in system.snapshot.servers.values():
            for row in self._told(server):
                if row.kind == "Client":
                    row.server = server.names
                    found[row.account].append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (-getattr(row, self.field), row.server, row.cid))
        return dict(found)

    def hide(self, snapshot: Snapshot, params: Any) -> None:
        """Note a server that may have more rows that matter than it was asked for.

        `params` are the loosest in force anywhere.
        """
        for server in snapshot.servers.values():
            rows = self._told(server)
            if len(rows) >= self.rows and self._matters(rows[-1], params):
                snapshot.lacking.hidden[self.endpoint.key] = server.name

    def _told(self, server: Server) -> list[Row]:
        reply: Rows | None = server.replies.get(self.endpoint.key)
        return [] if reply is None else reply.connections or []

    def _matters(self, row: Row, params: Any) -> bool:
        try:
            return self.matters(row, params)
        except Exception:  # A mistake of its author: what nobody can judge may matter.
            return True

    def named(self, rows: Collection[Row]) -> dict[str, Any]:
        """The first of some rows as evidence: who they are, where, and their figure."""
        top = [_named(row) | {self.field: getattr(row, self.field)} for row in [*rows][:_NAMED]]
        return {"top": top, "left_out": len(rows) - len(top)}


def worst(
    field: str, *, rows: int = _ROWS, every: float = _EVERY
) -> Callable[[Callable[[Any, Any], bool]], Worst]:
    """Declare a function `(row, params)`: whether one of the worst rows of a server matters.

    Each server sends the `rows` connections that have most of `field`, every so many seconds.
    `params` are the loosest in force anywhere: where the last row matters, there may be more, and
    what is open of accounts that the server does not name is unknown. DeclarationError for a figure
    that servers cannot sort by.
    """
    if field not in SORTS:
        raise DeclarationError(
            f"servers cannot sort connections by {field!r}, but by {', '.join(SORTS)}"
        )
    if type(rows) is not int or not 1 <= rows <= MOST_ROWS:
        raise DeclarationError(f"a server sends 1 to {MOST_ROWS} of its worst rows, not {rows!r}")
    if not every > 0:
        raise DeclarationError("the worst rows are read every so many seconds, not in each epoch")

    def declare(matters: Callable[[Any, Any], bool]) -> Worst:
        return Worst(matters, field, rows, _endpoint(field, rows, every))

    return declare


@functools.cache
def _endpoint(field: str, rows: int, every: float) -> Endpoint[Rows]:
    """The request, the same one for all that want the same."""
    usual = (rows, every) == (_ROWS, _EVERY)
    key = f"{CONNZ.name}_{SORTS[field].upper()}" + ("" if usual else f"_{rows}_{every:g}")
    return Endpoint(
        CONNZ.name,
        Rows,
        msgspec.json.encode({"auth": True, "sort": SORTS[field], "limit": rows}),
        weight=rows * ROW_BYTES,
        every=every,
        key=key,
        without=lambda varz: None if varz.connections or varz.leafnodes else Rows(),
    )


def _named(row: Row) -> dict[str, Any]:
    cluster, server = row.server
    return {
        "cid": row.cid,
        "name": row.name[:_MOST_TEXT],
        "ip": row.ip[:_MOST_TEXT],
        "server": server,
        "cluster": cluster,
        "account": row.account[:_MOST_TEXT],
        "user": row.authorized_user[:_MOST_TEXT],
    }
