"""CONNZ of a simulated server: which connections, in which order, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nats_insights.lab.fleet import counts, rows
from nats_insights.lab.fleet.model import Fleet, Server, User
from nats_insights.lab.fleet.request import ConnzOptions, Refused
from nats_insights.lab.fleet.splice import Packed, pack

END = b"]}}"

_OPEN = (0, 2)
_CLOSED = 1
# Kept of one server, whatever sizes of pages are asked for.
_MOST_PAGES = 64
_SORTS = {"cid", "start", "uptime", "last", "idle", "rtt", "subs", "pending"}
_SORTS |= {"msgs_to", "msgs_from", "bytes_to", "bytes_from"}
_CLOSED_SORTS = ("stop", "reason")


def page(
    fleet: Fleet, server: Server, options: ConnzOptions, now: float
) -> tuple[dict[str, Any], Packed | None]:
    """The reply's data with an empty list of connections, and the rows that belong into it.

    The rows end with the END of the whole reply; None stands for no rows. Rows in the order of
    cids are kept, compressed, until the connections of the server change: `uptime` and the like
    are those of their first reading.
    """
    _check(options)
    if options.acc and options.acc not in counts.accounts(fleet, server.cluster):
        return _data("", 0, 0, options, now) | {"connections": None}, None
    chosen, total = _chosen(fleet, server, options)
    limit = 1 if options.cid else options.limit
    part = chosen[options.offset : options.offset + limit]
    data = _data(server.id, len(part), total, options, now)
    if not part:
        return data, None
    # A range is a page of all connections in their own order: worth keeping.
    if not isinstance(part, range):
        return data, pack(rows.encode(fleet, server, part, options.auth, now) + END)
    key = (options.auth, part.start, part.stop)
    if key not in server.pages:
        if len(server.pages) >= _MOST_PAGES:
            server.pages.clear()
        server.pages[key] = pack(rows.encode(fleet, server, part, options.auth, now) + END)
    return data, server.pages[key]


def _check(options: ConnzOptions) -> None:
    if options.sort in _CLOSED_SORTS and options.state != _CLOSED:
        raise Refused(500, f"sort by {options.sort} only valid on closed connections")
    if options.sort and options.sort not in _SORTS and options.sort not in _CLOSED_SORTS:
        raise Refused(500, f"invalid sorting option: {options.sort}")
    if options.filter_subject and not options.acc:
        raise Refused(500, "filter by subject only valid with account filtering")


def _data(
    server_id: str, count: int, total: int, options: ConnzOptions, now: float
) -> dict[str, Any]:
    return {
        "server_id": server_id,
        "now": rows.timestamp(now),
        "num_connections": count,
        "total": total,
        "offset": options.offset,
        "limit": 1 if options.cid else options.limit,
        "connections": [],
    }


def _chosen(fleet: Fleet, server: Server, options: ConnzOptions) -> tuple[Sequence[int], int]:
    """The places of the connections asked for, in the order asked for, and the `total`,
    which only `acc` and `state` reduce."""
    chosen: Sequence[int] = range(len(server.cids))
    if options.state not in _OPEN:
        return (), 0
    if options.acc:
        chosen = _where(fleet, server, chosen, lambda user: user.account == options.acc)
    total = len(chosen)
    if options.user:
        chosen = _where(fleet, server, chosen, lambda user: user.name == options.user)
    if options.cid:
        chosen = [row for row in chosen if server.cids[row] == options.cid]
    if options.mqtt_client or options.filter_subject:
        chosen = ()
    if options.sort == "subs":
        chosen = sorted(chosen, key=lambda row: -server.subscriptions[row])
    return chosen, total


def _where(
    fleet: Fleet, server: Server, chosen: Sequence[int], wanted: Callable[[User], bool]
) -> Sequence[int]:
    return [row for row in chosen if wanted(fleet.users[server.users[row]])]
