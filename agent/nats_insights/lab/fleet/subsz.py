"""SUBSZ of a simulated server: how many subscriptions it knows of, and a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from nats_insights.lab.fleet import counts
from nats_insights.lab.fleet.model import Fleet, Server
from nats_insights.lab.fleet.request import SubszOptions

# The internal client of a server, that has its own subscriptions.
_INTERNAL_CID = 1


def subsz(fleet: Fleet, server: Server, options: SubszOptions) -> dict[str, Any]:
    """All that is known, of one account if that is asked; and the local ones, page by page."""
    by_account = counts.by_account(fleet, server)
    known = by_account.get(options.account, 0) if options.account else sum(by_account.values())
    data = {
        "num_subscriptions": known,
        "num_cache": min(known, 1024),
        "num_inserts": known + server.total_connections,
        "num_removes": server.total_connections,
        "num_matches": 4 * known,
        "cache_hit_rate": 0.75 if known else 0,
        "max_fanout": 12 if known else 0,
        "avg_fanout": 1.5 if known else 0,
        "total": 0,
        "offset": options.offset,
        "limit": options.limit,
    }
    if not options.subscriptions:
        return data
    total = counts.local(fleet, server)
    if options.account or options.test:
        total = sum(1 for _ in _wanted(fleet, server, options))
    rows = islice(_wanted(fleet, server, options), options.offset, options.offset + options.limit)
    listed = list(rows)
    return data | {"total": total} | ({"subscriptions_list": listed} if listed else {})


def _wanted(fleet: Fleet, server: Server, options: SubszOptions) -> Iterator[dict[str, Any]]:
    for row in _local(fleet, server):
        of_account = not options.account or row["account"] == options.account
        if of_account and (not options.test or row["subject"] == options.test):
            yield row


def _local(fleet: Fleet, server: Server) -> Iterator[dict[str, Any]]:
    """The subscriptions of its clients, and its own."""
    for connection in fleet.connections(server):
        user = connection.user
        for number in range(connection.subscriptions if user.kind != "leaf" else 0):
            subject = f"{user.program}.{connection.cid}.{number}"
            yield _row(user.account, subject, number + 1, connection.cid)
    sid = 0
    for account in counts.accounts(fleet, server.cluster):
        for number in range(counts.internal(account)):
            sid += 1
            yield _row(account, f"$SYS.REQ.INTERNAL.{number}", sid, _INTERNAL_CID)


def _row(account: str, subject: str, sid: int, cid: int) -> dict[str, Any]:
    return {
        "account": account,
        "account_tag": account,
        "subject": subject,
        "sid": str(sid),
        "msgs": 0,
        "cid": cid,
    }
