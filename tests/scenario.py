"""Systems in one line, and an agent without a connection that hears them, epoch by epoch.

    system(cluster(n1=60, n2=15, n3=15))                     three servers, so many connections
    system(cluster("EU", a=Server(5, up=10), b=hung), lone(n1=60))

Everything from the replies on is the real thing: roster, sweeps, `snapshot.build`, rules, audit,
lifecycle.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from nats_insights import checks
from nats_insights.config import parse
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.audit import Audit, Key, audit
from nats_insights.judge.declare import Check, discover
from nats_insights.judge.lifecycle import Life, Told, advance
from nats_insights.judge.plan import Plan, due, plan
from nats_insights.judge.rules import Rule, rules
from nats_insights.model.build import Replies, build
from nats_insights.model.fold import Sweep
from nats_insights.model.roster import Roster, State
from nats_insights.model.snapshot import Snapshot
from nats_insights.model.sweeps import Sweeps
from nats_insights.replies import wire

CHECKS = {check.name: check for check in discover(checks)}
VERSIONS = ("2.10.26", "2.11.11", "2.12.8", "2.14.6", "2.15.1")
RECORDED = Path(__file__).parent / "wire"
START = 1_800_000_000.0
DAY = 86_400.0


class Server(Struct, frozen=True):
    """What a server holds: connections of user `app` in account APP, and more by "ACCOUNT user".

    `accepted` are the connections that it ever accepted, by default those that it holds.
    """

    connections: int = 0
    users: dict[str, int] = {}
    subscriptions: int = 0  # Of all its clients together.
    internal: int = 0  # Subscriptions that no client holds.
    accepted: int = 0
    max_connections: int = 65_536
    up: float = DAY
    state: State = "answering"
    id: str = ""


hung, dead, left = (Server(state=state) for state in ("hung", "dead", "left"))


class Heard(Struct, frozen=True):
    """One server as it answers: who it is, and what it replies, CONNZ being a page."""

    info: wire.ServerInfo
    replies: dict[str, Any]
    state: State = "answering"


class System(Struct, frozen=True):
    """Servers, the name of the one that the agent is connected to, and how the agent fares.

    `expect` is how many servers there should be, or their names, if not what the story says.
    """

    servers: tuple[Heard, ...]
    own: str = ""
    agent: dict[str, Any] = {}
    expect: int | list[str] = 0

    def __repr__(self) -> str:
        return f"system({', '.join(f'{one.info.cluster} {one.info.name}' for one in self.servers)})"


def system(*clusters: Iterable[Heard], own: str = "", **agent: Any) -> System:
    """All servers of some clusters; `agent` are figures of the agent itself."""
    return System(tuple(heard for cluster in clusters for heard in cluster), own, agent)


def cluster(name: str = "C1", /, **servers: int | Server) -> list[Heard]:
    """A cluster of servers, each a number of connections or a `Server`."""
    return [_heard(name, own, held) for own, held in servers.items()]


def lone(**servers: int | Server) -> list[Heard]:
    """Servers without a cluster."""
    return cluster("", **servers)


@cache
def recorded(version: str) -> System:
    """The three servers S1, S2, S3 that a real system of this version answered for."""
    text = (RECORDED / version / "SCENARIO_hotspot.json").read_text()
    replies: dict[str, dict[str, Any]] = {}
    infos = {}
    for endpoint, recording in json.loads(text)["endpoints"].items():
        for raw in recording["replies"]:
            endpoint = {"ACCOUNT_PING_STATZ": "STATZ"}.get(endpoint, endpoint)
            info, data = read(endpoint, json.dumps(raw).encode())
            replies.setdefault(info.id, {})[endpoint] = data
            infos[info.id] = info
    return System(tuple(Heard(infos[id], replies[id]) for id in infos), own="S3")


def read(endpoint: str, payload: bytes) -> tuple[wire.ServerInfo, Any]:
    """A reply as the agent reads it, a page of CONNZ with every field that a fold may ask for."""
    if endpoint != "CONNZ":
        return wire.decode(endpoint, payload)
    page = wire.PageDecoder(wire.Connection.__struct_fields__).decode(payload)
    return page.server, page


class Story:
    """An agent without a connection: `hears` a system in each epoch, and says what it told.

    It asks only what its checks need. `told` holds the transitions of the last epoch.
    """

    def __init__(
        self, config: str = "", checks: Iterable[Check] = CHECKS.values(), *, settle: float = 0.0
    ) -> None:
        self.config = parse(config)
        self.rules, self.plan = _rules_and_plan(config, tuple(checks))
        self.settle = settle
        lifecycle = self.config.lifecycle
        self.roster = Roster(lifecycle.forget_after, lifecycle.gone_after)
        self.sweeps = Sweeps(self.plan.folds)
        self.lives: dict[Key, Life] = {}
        self.system_accounts: frozenset[str] = frozenset()
        self.number, self.now = 0, START
        self.told: list[Told] = []
        self.swept = 0  # Servers that listed their connections in the last epoch.
        self.snapshot = Snapshot(0, START)
        self.audit = Audit()

    def hears(
        self,
        system: System,
        lost: Collection[tuple[str, str]] = (),
        *,
        denied: Collection[str] = (),
        after: float = 30.0,
        counts: bool = True,
    ) -> list[str]:
        """One epoch, `after` seconds later, without the `lost` replies: (server, endpoint).

        Whoever asks for an endpoint in `denied` is refused.
        """
        self.number += 1
        self.now += after
        self.snapshot = self._snapshot(system, frozenset(lost), set(denied))
        self.audit = at_once(audit(self.snapshot, self.rules, self.lives, self.settle))
        self.lives, self.told = at_once(
            advance(
                self.lives,
                self.audit,
                self.rules,
                self.now,
                remind_every=self.config.lifecycle.remind_every,
                counts=counts,
            )
        )
        return [f"{told.transition} {told.life.key.code} {_words(told.life)}" for told in self.told]

    @property
    def found(self) -> set[str]:
        """What the last epoch found, as the names of each entity in one string."""
        return {_words(key) for key in self.audit.found}

    def _snapshot(
        self, system: System, lost: frozenset[tuple[str, str]], denied: set[str]
    ) -> Snapshot:
        silent = {name for name, endpoint in lost if endpoint == "VARZ"}
        servers = [
            replace(one, state="hung") if one.info.name in silent else one for one in system.servers
        ]
        self._meet(servers)
        replies = Replies(self.plan.endpoints)
        replies.denied = denied
        rows: dict[str, wire.Page] = {}
        for one in servers:
            if one.state != "answering":
                continue
            for endpoint in self.plan.endpoints - denied:
                if (one.info.name, endpoint) in lost or endpoint not in one.replies:
                    continue
                if endpoint == "CONNZ":
                    rows[one.info.id] = one.replies[endpoint]
                else:
                    replies.add(endpoint, one.info.id, one.replies[endpoint])
        self.system_accounts |= {varz.system_account for varz in replies.data["VARZ"].values()}
        self.sweeps.begin({entry.key for entry in self.roster if entry.belongs})
        own = next((one.info.id for one in servers if one.info.name == system.own), "")
        snapshot = at_once(
            build(
                self.roster,
                replies,
                self.sweeps,
                epoch=self.number,
                now=self.now,
                system_accounts=self.system_accounts,
                own_server=own,
                expect=system.expect or self.config.expect,
            )
        )
        snapshot.accepted = frozenset(self.config.access.without)
        if not snapshot.blind:
            self._sweep(snapshot, rows)
        snapshot.agent.names = ("me",)
        for figure, value in system.agent.items():
            setattr(snapshot.agent, figure, value)
        return snapshot

    def _meet(self, servers: Iterable[Heard]) -> None:
        states = {one.info.id: one.state for one in servers}
        answering = {id for id, state in states.items() if state == "answering"}
        for one in servers:
            if one.state == "answering":
                self.roster.heard(one.info, self.now, answering)
                continue
            entry = self.roster.meet(one.info, self.now, answering)
            if one.state == "left" and entry and not entry.goodbye:
                self.roster.goodbye(one.info.id, self.now, gone=True)
        for id in self.roster.expected() - answering:
            state = "hung" if states.get(id) == "hung" else "dead"
            self.roster.unheard(id, state, self.now)
        self.roster.close(self.now)
        self.roster.forget(self.now)

    def _sweep(self, snapshot: Snapshot, rows: dict[str, wire.Page]) -> None:
        if "CONNZ" not in self.plan.endpoints:
            return
        wanted = set(snapshot.servers)
        if self.config.gather.sweep == "moved":
            wanted = at_once(due(snapshot, self.rules, self.lives))
        snapshot.lacking["CONNZ"] = snapshot.absent | wanted
        self.swept = 0
        for names in wanted:
            server = snapshot.servers[names]
            if server.id in rows and not snapshot.lacks(server, ["VARZ"]):
                sweep = Sweep(self.plan.folds, self.system_accounts)
                sweep.page(rows[server.id])
                if sweep.exact:
                    self.swept += 1
                    snapshot.take(names, sweep)


def found(check: Check, system: System, config: str = "") -> set[str]:
    """What one check finds in one epoch, as the names of each entity in one string."""
    story = Story(config, [check])
    story.hears(system)
    return story.found


def finding(check: Check, system: System, config: str = "") -> Any:
    """The only finding of one check in one epoch."""
    story = Story(config, [check])
    story.hears(system)
    (only,) = story.audit.found.values()
    return replace(only.finding, evidence=json.loads(bytes(only.evidence)))


@cache
def _rules_and_plan(config: str, checks: tuple[Check, ...]) -> tuple[list[Rule], Plan]:
    # A third of a test's time, and the same for thousands of stories.
    made = rules(checks, parse(config))
    return made, plan(made)


def _words(of: Key | Life) -> str:
    key = of if isinstance(of, Key) else of.key
    return " ".join(name for name in key.names if name)


def _heard(cluster: str, name: str, held: int | Server) -> Heard:
    if isinstance(held, int):
        held = Server(held)
    info = wire.ServerInfo(
        name=name, id=held.id or f"id of {cluster} {name}", cluster=cluster, ver="2.15.1"
    )
    rows = _rows(held)
    now = datetime.fromtimestamp(START, UTC)
    started = now - timedelta(seconds=held.up)
    accounts = Counter(row.account for row in rows)
    replies = {
        "VARZ": wire.Varz(
            start=started,
            now=now,
            connections=len(rows),
            total_connections=held.accepted or len(rows),
            max_connections=held.max_connections,
            subscriptions=held.subscriptions + held.internal,
        ),
        "STATSZ": wire.Statsz(start=started, connections=len(rows)),
        "SUBSZ": wire.Subsz(num_subscriptions=held.subscriptions),
        "ROUTEZ": wire.Routez(),
        "LEAFZ": wire.Leafz(),
        "ACCOUNTZ": wire.Accountz(accounts=sorted(accounts)),
        "STATZ": wire.Statz(dict(accounts)),
        "CONNZ": wire.Page(info, rows, len(rows)),
    }
    return Heard(info, replies, held.state)


def _rows(held: Server) -> list[wire.Connection]:
    users = Counter({"APP app": held.connections}) + Counter(held.users)
    rows = []
    for who in users.elements():
        account, _, user = who.partition(" ")
        row = wire.Connection(
            cid=len(rows) + 1, kind="Client", account=account, authorized_user=user
        )
        rows.append(row)
    if held.subscriptions:
        rows[0].subscriptions = held.subscriptions
    return rows
