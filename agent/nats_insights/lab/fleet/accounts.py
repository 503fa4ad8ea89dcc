"""ACCOUNTZ and the account statistics of a simulated server."""

from __future__ import annotations

from typing import Any, cast

from nats_insights.lab.fleet import counts
from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Fleet, Server
from nats_insights.lab.fleet.request import AccountOptions, Options, Refused, StatzOptions
from nats_insights.lab.fleet.rows import timestamp


def accountz(fleet: Fleet, server: Server, options: Options, now: float) -> dict[str, Any]:
    """The names of the loaded accounts, or one of them in detail."""
    account = cast(AccountOptions, options).account
    data: dict[str, Any] = {"system_account": SYSTEM_ACCOUNT}
    loaded = counts.accounts(fleet, server.cluster)
    if not account:
        return data | {"accounts": loaded}
    if account not in loaded:
        raise Refused(500, f"Account {account} does not exist")
    own = counts.tally(fleet, server)
    known = counts.by_account(fleet, server)[account]
    detail: dict[str, Any] = {
        "account_name": account,
        "update_time": timestamp(server.started),
        "expired": False,
        "complete": True,
        "jetstream_enabled": account in server.cluster.jetstream,
        "leafnode_connections": own.leafnodes[account],
        "client_connections": own.connections[account],
        "subscriptions": known,
        "sublist_stats": {
            "num_subscriptions": known,
            "num_cache": 0,
            "num_inserts": known,
            "num_removes": 0,
            "num_matches": 0,
            "cache_hit_rate": 0,
            "max_fanout": 0,
            "avg_fanout": 0,
        },
    }
    if account == SYSTEM_ACCOUNT:
        detail["is_system"] = True
    return data | {"account_detail": detail}


def statz(fleet: Fleet, server: Server, options: Options, now: float) -> dict[str, Any] | None:
    """Connections by account; None, which is silence, where there is nothing to tell."""
    asked = cast(StatzOptions, options)
    own, known = counts.tally(fleet, server), counts.by_account(fleet, server)
    rows = []
    for account in known:
        clients, leafs = own.connections[account], own.leafnodes[account]
        if asked.accounts and account not in asked.accounts:
            continue
        if clients or leafs or asked.include_unused:
            rows.append(account_row(account, clients, leafs, known[account]))
    return {"account_statz": rows} if rows or asked.include_unused else None


def account_row(account: str, clients: int, leafs: int, subscriptions: int) -> dict[str, Any]:
    """The statistics of one account on one server."""
    return {
        "acc": account,
        "name": account,
        "conns": clients,
        "leafnodes": leafs,
        "total_conns": clients + leafs,
        "num_subscriptions": subscriptions,
        "sent": _TRAFFIC,
        "received": _TRAFFIC,
        "slow_consumers": 0,
    }


def _nothing() -> dict[str, int]:
    return {"msgs": 0, "bytes": 0}


_TRAFFIC = _nothing() | {"gateways": _nothing(), "routes": _nothing(), "leafs": _nothing()}
