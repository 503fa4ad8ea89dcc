"""The auditor: one epoch after another, from asking the servers to what is to be told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import nats.errors
from msgspec.structs import replace

from .advisory import at, finding_state
from .audit import Audit, Key, steps
from .check import Check
from .config import Config
from .errors import ConnectError
from .evidence import MOST_FINDINGS, name_clients
from .gather import Gatherer, Target
from .lifecycle import Life, Told, advance, held
from .messages import Access, AgentInfo, Cost, FindingState
from .plan import plan
from .queries import View
from .roster import Names, Roster
from .rules import rules
from .snapshot import Replies, Snapshot, Swept, build

RESOLVED_KEPT = 100


class Auditor:
    """What is known from epoch to epoch: the roster, the last sweeps, the findings."""

    def __init__(self, checks: Sequence[Check], config: Config) -> None:
        self.checks = list(checks)
        self.config = config
        self.rules = rules(checks, config)
        self.plan = plan(self.rules)
        self.roster = Roster(config.lifecycle.forget_after)
        self.sweeps: dict[Names, Swept] = {}
        self.lives: dict[Key, Life] = {}
        self.resolved: deque[FindingState] = deque(maxlen=RESOLVED_KEPT)
        self.system_accounts: frozenset[str] = frozenset()
        self.number = 0
        self.started_at = 0.0
        self.snapshot = Snapshot(0, 0.0)
        self.audit = Audit()
        self.cost = Cost()
        self._by_code = {check.code: check for check in checks}

    @property
    def valid_for(self) -> float:
        """Seconds that an advisory may be believed: two reminders, and the wait for an epoch."""
        epochs = self.config.interval * self.config.gather.connections_every
        return 2 * (self.config.lifecycle.remind_every + epochs)

    async def epoch(
        self, gatherer: Gatherer, now: float, *, counts: bool = True, settle: float | None = None
    ) -> list[Told]:
        """Ask, judge, and say what changed; `now` is Unix seconds.

        ConnectError, and nothing changed in any finding, if the connection broke meanwhile.
        """
        gatherer.begin()
        self.number += 1
        self.started_at = now
        try:
            snapshot = await self._gather(gatherer, now)
        except nats.errors.Error as error:
            raise ConnectError(f"the connection broke during the epoch: {error}") from None
        for _ in snapshot.merge(self.plan.folds):
            await asyncio.sleep(0)
        lifecycle = self.config.lifecycle
        run = steps(
            snapshot, self.rules, held(self.lives), lifecycle.settle if settle is None else settle
        )
        while True:
            try:
                next(run)
            except StopIteration as end:
                audit: Audit = end.value
                break
            await asyncio.sleep(0)
        lives, told = advance(
            self.lives, audit, self.rules, now, remind_every=lifecycle.remind_every, counts=counts
        )
        told = await self._explain(told, lives, gatherer)
        if gatherer.client.closed.is_set():
            raise ConnectError("the connection broke during the epoch")
        self.snapshot, self.audit, self.lives = snapshot, audit, lives
        dropped = self.roster.overflow + sum(tally.dropped for tally in snapshot.tallies())
        self.cost = gatherer.cost(dropped)
        self._remember(told)
        return told

    def view(self, agent: AgentInfo, access: Access, max_payload: int) -> View:
        """What queries are answered from until the next epoch ends."""
        return View(
            agent=agent,
            coverage=self.snapshot.coverage,
            access=access,
            checks=self.checks,
            rules=self.rules,
            lives=list(self.lives.values()),
            resolved=list(self.resolved),
            outcomes=self.audit.outcomes,
            servers=list(self.roster),
            cost=self.cost,
            started_at=self.started_at,
            interval=self.config.interval,
            valid_for=self.valid_for,
            max_payload=max_payload,
        )

    async def _gather(self, gatherer: Gatherer, now: float) -> Snapshot:
        every = self.config.gather.connections_every
        endpoints = set(self.plan.endpoints)
        not_due = {"CONNZ"} if (self.number - 1) % every else set()
        endpoints -= not_due
        replies = await gatherer.small(endpoints, self.roster, now)
        if gatherer.client.closed.is_set():
            raise ConnectError("the connection broke during the epoch")
        self.system_accounts |= {varz.system_account for varz in replies.data["VARZ"].values()}
        if "CONNZ" in endpoints:
            swept = await gatherer.sweep(
                self._targets(replies), self.plan.folds, self.system_accounts, self.number
            )
            replies.denied |= gatherer.denied & {"CONNZ"}
            self.sweeps = {
                entry.key: swept.get(entry.key) or self.sweeps[entry.key]
                for entry in self.roster
                if entry.counts and (entry.key in swept or entry.key in self.sweeps)
            }
        snapshot = build(
            self.roster,
            replies,
            self.sweeps,
            epoch=self.number,
            now=now,
            system_accounts=self.system_accounts,
            own_server=gatherer.client.server_id,
        )
        snapshot.not_due = not_due
        return snapshot

    def _targets(self, replies: Replies) -> list[Target]:
        targets = []
        for server_id, varz in replies.data["VARZ"].items():
            entry = self.roster.by_id(server_id)
            if entry is not None:
                targets.append(Target(entry.key, server_id, varz.connections + varz.leafnodes))
        return targets

    async def _explain(
        self, told: list[Told], lives: dict[Key, Life], gatherer: Gatherer
    ) -> list[Told]:
        """Name the clients behind what opened, changed or is told again, as far as allowed."""
        explained: dict[Key, Life] = {}
        news = []
        for item in told:
            key, check = item.life.key, self._by_code[item.life.key.code]
            if key in lives and check.explain and len(explained) < MOST_FINDINGS:
                if key not in explained:
                    explained[key] = await name_clients(
                        lives[key], check.explain, gatherer, self.roster, self.system_accounts
                    )
                    lives[key] = explained[key]
                item = replace(item, life=replace(item.life, clients=explained[key].clients))
            news.append(item)
        return news

    def _remember(self, told: list[Told]) -> None:
        for item in told:
            if item.transition == "resolved" and item.reason != "severity_changed":
                members = finding_state(item.life, self._by_code[item.life.key.code], 0.0)
                over = at(item.at)
                members |= {"state": "resolved", "resolved_at": over, "valid_until": over}
                self.resolved.append(FindingState(**members))
