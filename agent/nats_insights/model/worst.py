"""The worst connections of each server: rows that are kept, while a fold only counts them.

Servers can sort by some figures, so each sends a few rows and not all of them. As these figures
change all the time, the rows are requested seldom, and a server never lists all its connections.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Collection, Generator
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from nats_insights.errors import DeclarationError
from nats_insights.replies.connz import CONNZ, SORTS, TIMES, Closed, Row, Rows
from nats_insights.replies.endpoint import Endpoint

if TYPE_CHECKING:
    from nats_insights.model.nouns.system import System
    from nats_insights.model.snapshot import Snapshot

# Rows of one server; a request for more would be a sweep.
MOST_ROWS = 256
ROW_BYTES = 600
# The texts of a row that go into evidence are cut to this length.
MOST_TEXT = 128
_NAMED = 10
_ROWS, _EVERY = 16, 120.0
_SORTS = SORTS | TIMES


class Worst(Struct, frozen=True, eq=False):
    """The `rows` connections of each server with the largest `field`, and which of them matter."""

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
        """The rows that matter of the clients of each account, the worst first."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in system.snapshot.worst.get(self, ()):
            if row.kind == "Client":
                found[row.account].append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (-getattr(row, self.field), row.server, row.cid))
        return dict(found)

    def choose(self, snapshot: Snapshot, params: Any) -> Generator[None, None, None]:
        """Keep the received rows that matter, of which there are few.

        A server may have more of them than were requested: that is noted. `params` are the loosest
        in force anywhere.
        """
        chosen = snapshot.worst[self] = []
        for server in snapshot.servers.values():
            reply: Rows | None = server.replies.get(self.endpoint.key)
            if reply is None or not (rows := reply.connections):
                continue
            yield
            matter = [row for row in rows if self._matters(row, params)]
            for row in matter:
                row.server = server.names
            chosen += matter
            if len(rows) >= self.rows and matter and matter[-1] is rows[-1]:
                snapshot.lacking.hidden[self.endpoint.key] = server.name

    def _matters(self, row: Row, params: Any) -> bool:
        try:
            return self.matters(row, params)
        except Exception:  # An error in the check: a row that cannot be judged may matter.
            return True

    def named(self, rows: Collection[Row]) -> dict[str, Any]:
        """The first of some rows as evidence: client, server and figure."""
        top = [
            evidence_of(row) | {self.field: getattr(row, self.field)} for row in [*rows][:_NAMED]
        ]
        return {"top": top, "left_out": len(rows) - len(top)}


def worst(
    field: str, *, rows: int = _ROWS, every: float = _EVERY
) -> Callable[[Callable[[Any, Any], bool]], Worst]:
    """Declare a function `(row, params)`: whether one of the worst rows of a server matters.

    Each server sends the `rows` connections with the largest `field`, every `every` seconds.
    `params` are the loosest in force anywhere, and nouns have only rows that matter to these. If
    the last row of a server matters, there may be more, and open findings of accounts that it does
    not name are unknown. DeclarationError for a figure that servers cannot sort by.
    """
    if field not in _SORTS:
        raise DeclarationError(
            f"servers cannot sort connections by {field!r}, but by {', '.join(_SORTS)}"
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
    """The endpoint, shared by all declarations with the same request."""
    usual = (rows, every) == (_ROWS, _EVERY)
    key = f"{CONNZ.name}_{_SORTS[field].upper()}" + ("" if usual else f"_{rows}_{every:g}")
    return Endpoint(
        CONNZ.name,
        Rows,
        msgspec.json.encode({"auth": True, "sort": _SORTS[field], "limit": rows}),
        weight=rows * ROW_BYTES,
        every=every,
        key=key,
        without=lambda varz: None if varz.connections or varz.leafnodes else Rows(),
    )


def evidence_of(row: Row | Closed) -> dict[str, Any]:
    """Which connection it is, and of which client, for the evidence."""
    cluster, server = row.server
    return {
        "cid": row.cid,
        "name": row.name[:MOST_TEXT],
        "ip": row.ip[:MOST_TEXT],
        "server": server,
        "cluster": cluster,
        "account": row.account[:MOST_TEXT],
        "user": row.authorized_user[:MOST_TEXT],
        **({"user_name": name} if (name := row.user_name) else {}),
    }
