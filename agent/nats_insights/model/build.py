"""Build a snapshot: turn the replies of an epoch into nouns."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from datetime import datetime

from nats_insights.errors import Missing
from nats_insights.facts import Coverage, Names
from nats_insights.model.nouns.cluster import Cluster
from nats_insights.model.nouns.server import Server
from nats_insights.model.roster import Roster
from nats_insights.model.snapshot import Snapshot
from nats_insights.model.sweeps import Sweeps
from nats_insights.replies.heard import Heard
from nats_insights.replies.statz import STATZ
from nats_insights.replies.varz import VARZ

# Accounts in clusters that are counted: their names come from servers, so their number is bounded.
MOST_ACCOUNTS = 200_000


def build(
    roster: Roster,
    heard: Heard,
    sweeps: Sweeps,
    *,
    now: float,
    system_accounts: Collection[str] = ("$SYS",),
    expect: int | Collection[str] = 0,
) -> Generator[None, None, Snapshot]:
    """Turn the replies of an epoch into a snapshot, one server at a step.

    The accounts in `system_accounts` are left out of every figure, and `expect` is the number or
    the names of the expected servers.
    """
    snapshot = Snapshot(now, sweeps)
    snapshot.system_accounts = frozenset(system_accounts)
    snapshot.roll_call_took = heard.roll_call_took
    lacking = snapshot.lacking
    lacking.denied = set(heard.denied)
    snapshot.forgotten = frozenset(roster.forgotten)
    if roster.cut_off:
        lacking.blind = "the agent is cut off from half of the servers or more"
    _coverage(snapshot, roster, expect)
    for entry in roster:
        yield
        snapshot.changed_at[entry.cluster] = max(
            entry.changed_at, snapshot.changed_at.get(entry.cluster, float("-inf"))
        )
        if entry.state != "left":
            snapshot.members.append(entry)
        if not entry.belongs:
            continue
        if not entry.counts:
            lacking.absent.add(entry.key)
            for endpoint in heard.asked:
                lacking.owed[endpoint].add(entry.key)
            continue
        server = _server(snapshot, entry.key)
        server.id, server.entry = entry.id, entry
        if entry.version:
            server.version = entry.version
        server.own_connections = int(entry.id == heard.own)
        if (info := heard.infos.get(entry.id)) is not None:
            server.info = info
        for endpoint in heard.asked:
            reply = heard.replies[endpoint].get(entry.id)
            if reply is None:
                lacking.owed[endpoint].add(entry.key)
            else:
                server.replies[endpoint] = reply
        _take(server)
    yield from _accounts(snapshot, snapshot.system_accounts)
    return snapshot


def _coverage(snapshot: Snapshot, roster: Roster, expect: int | Collection[str]) -> None:
    known, missing = len(roster.known()), roster.missing()
    never_seen, names = roster.never_seen(expect)
    snapshot.coverage = Coverage(
        servers_known=known + never_seen,
        servers_answered=known - len(missing),
        missing=sorted(missing + names),
    )
    system, agent = snapshot.system, snapshot.agent
    system.expected = expect if isinstance(expect, int) else len(expect)
    system.never_seen, system.names_never_seen = never_seen, names
    agent.unreachable = roster.cut_off
    agent.known = sum(1 for entry in roster if entry.belongs)


def _server(snapshot: Snapshot, key: Names) -> Server:
    cluster = None
    if key[0]:
        cluster = snapshot.clusters.get(key[0])
        if cluster is None:
            cluster = snapshot.clusters[key[0]] = Cluster(key[0], snapshot)
    server = snapshot.servers[key] = Server(key[1], cluster, snapshot)
    if cluster:
        cluster.servers.append(server)
    return server


def _take(server: Server) -> None:
    """Set the attributes that are read most often."""
    if (varz := server.replies.get(VARZ.key)) is not None:
        server.varz = varz
        server.settled = seconds_between(varz.start, varz.now)
    if (statz := server.replies.get(STATZ.key)) is not None:
        server.accounts = statz.connections


def _accounts(snapshot: Snapshot, system_accounts: frozenset[str]) -> Iterator[None]:
    for server in snapshot.servers.values():
        yield
        try:
            accounts = server.accounts
        except Missing:
            continue
        clients = {name: n for name, n in accounts.items() if name not in system_accounts}
        server.connections = sum(clients.values())
        for name, connections in clients.items():
            _count(snapshot, server, name, connections)


def _count(snapshot: Snapshot, server: Server, account: str, connections: int) -> None:
    if account not in snapshot.accounts and len(snapshot.accounts) >= MOST_ACCOUNTS:
        snapshot.lacking.dropped_accounts += 1
        return
    snapshot.accounts[account] = snapshot.accounts.get(account, 0) + connections
    if server.cluster is None or not connections:
        return
    on = snapshot.accounts_in_clusters.get((account, server.cluster.name))
    if on is None:
        if len(snapshot.accounts_in_clusters) >= MOST_ACCOUNTS:
            snapshot.lacking.dropped_accounts += 1
            return
        on = snapshot.accounts_in_clusters[account, server.cluster.name] = {}
    on[server.name] = connections


def seconds_between(start: datetime | None, now: datetime | None) -> float:
    """Seconds from `start` to `now`, 0 if either is None."""
    return (now - start).total_seconds() if start and now else 0.0
