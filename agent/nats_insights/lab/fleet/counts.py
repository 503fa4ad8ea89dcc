"""What a server counts: its connections by account, and every subscription that it knows of."""

from __future__ import annotations

from collections import Counter

from nats_insights.lab.fleet.model import (
    GLOBAL_ACCOUNT,
    SYSTEM_ACCOUNT,
    Cluster,
    Fleet,
    Server,
    Tally,
)

# Interest that a server tells each of its peers for the system account's sake, as measured.
_ROUTED_SYSTEM = 53
_INTERNAL_SYSTEM = 56
_INTERNAL = 4


def tally(fleet: Fleet, server: Server) -> Tally:
    """The server's connections and their subscriptions, by account."""
    if server.tally is None:
        server.tally = _tallied(fleet, server)
    return server.tally


def accounts(fleet: Fleet, cluster: Cluster) -> tuple[str, ...]:
    """The accounts that its servers have loaded: with a connection to one of them, or JetStream."""
    if not cluster.accounts:
        loaded = dict.fromkeys((SYSTEM_ACCOUNT, GLOBAL_ACCOUNT, *cluster.jetstream))
        for member in cluster.running:
            own = tally(fleet, member)
            loaded |= dict.fromkeys((*own.connections, *own.leafnodes))
        cluster.accounts = tuple(loaded)
    return cluster.accounts


def interest(fleet: Fleet, server: Server) -> Counter[str]:
    """How many subjects of each account a server tells its peers about.

    Equal subjects count once. Every second subscription is taken to have one of its own.
    """
    if server.interest is None:
        local = tally(fleet, server).subscriptions
        subjects = {account: (count + 1) // 2 for account, count in local.items()}
        server.interest = Counter(subjects)
        server.interest[SYSTEM_ACCOUNT] += _ROUTED_SYSTEM
    return server.interest


def local(fleet: Fleet, server: Server) -> int:
    """The subscriptions of the server's clients, and its own."""
    own = sum(internal(account) for account in accounts(fleet, server.cluster))
    return tally(fleet, server).subscriptions.total() + own


def total(fleet: Fleet, server: Server) -> int:
    """Every subscription that a running server knows of: local, of leaf nodes, over routes."""
    routed = _announced(fleet, server.cluster).total() - _unheard(fleet, server).total()
    return local(fleet, server) + tally(fleet, server).leaf_subscriptions.total() + routed


def by_account(fleet: Fleet, server: Server) -> dict[str, int]:
    """The same, of each account."""
    own, unheard = tally(fleet, server), _unheard(fleet, server)
    announced = _announced(fleet, server.cluster)
    return {
        account: own.subscriptions[account]
        + own.leaf_subscriptions[account]
        + internal(account)
        + announced[account]
        - unheard[account]
        for account in accounts(fleet, server.cluster)
    }


def _announced(fleet: Fleet, cluster: Cluster) -> Counter[str]:
    """The interest of all servers of a cluster together."""
    if cluster.interest is None:
        cluster.interest = Counter()
        for member in cluster.running:
            cluster.interest.update(interest(fleet, member))
    return cluster.interest


def _unheard(fleet: Fleet, server: Server) -> Counter[str]:
    """The interest that no route tells it of: its own, and that of servers it has no route to."""
    unheard = interest(fleet, server)
    for peer in server.cut:
        if peer.running:
            unheard = unheard + interest(fleet, peer)
    return unheard


def internal(account: str) -> int:
    """The server's own subscriptions in an account, without JetStream."""
    return _INTERNAL_SYSTEM if account == SYSTEM_ACCOUNT else _INTERNAL


def _tallied(fleet: Fleet, server: Server) -> Tally:
    counted = Tally()
    for number, subscriptions in zip(server.users, server.subscriptions, strict=True):
        user = fleet.users[number]
        if user.kind == "leaf":
            counted.leafnodes[user.account] += 1
            counted.leaf_subscriptions[user.account] += subscriptions
        else:
            counted.connections[user.account] += 1
            counted.subscriptions[user.account] += subscriptions
    return counted
