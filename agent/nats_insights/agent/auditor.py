"""The auditor: one epoch after another, from asking the servers to what is to be told."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import nats.errors
from msgspec.structs import replace

from nats_insights.agent.clients import name_clients
from nats_insights.config import Config
from nats_insights.errors import ConnectError, Missing, place
from nats_insights.facts import Access, Cost, Coverage
from nats_insights.gather.connections import Target
from nats_insights.gather.small import Gatherer
from nats_insights.gather.stepwise import emptied, stepwise
from nats_insights.gather.window import Window
from nats_insights.judge.audit import Key, Outcome, audit
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life, Told, advance
from nats_insights.judge.pace import Pace
from nats_insights.judge.plan import due, plan
from nats_insights.judge.rules import rules
from nats_insights.model.build import build
from nats_insights.model.fold import Sweep
from nats_insights.model.nouns import Agent
from nats_insights.model.roster import Roster
from nats_insights.model.snapshot import Snapshot
from nats_insights.model.sweeps import Sweeps
from nats_insights.tell.advisory import at, finding_state
from nats_insights.tell.messages import AgentInfo, FindingState
from nats_insights.tell.queries import View

log = logging.getLogger(__name__)

RESOLVED_KEPT = 100
# Seconds from the first request of an epoch to its last connection row, within which clients that
# move are not counted on two servers.
TORN_AFTER = 1.0


class Auditor:
    """What is known from epoch to epoch: the roster, the last sweeps, the findings.

    `failed` counts the epochs that ended by an error in the program, `failures` are the last ones.
    """

    def __init__(self, checks: Sequence[Check], config: Config) -> None:
        self.checks = list(checks)
        self.config = config
        self.rules = rules(checks, config)
        self.plan = plan(self.rules)
        self.roster = Roster(config.lifecycle.forget_after, config.lifecycle.gone_after)
        self.system_accounts: frozenset[str] = frozenset()
        self.id = config.id or socket.gethostname()
        self.window = Window(config.gather.window)
        self.pace = Pace(config.interval, config.gather)
        self.number = 0
        self.started_at = 0.0
        self.snapshot = Snapshot(0, 0.0)
        self.outcomes: dict[str, Outcome] = {}
        self.cost = Cost()
        self.failed = 0
        self.failures: deque[tuple[int, str]] = deque(maxlen=Agent.MEMORY)
        self._logged: set[str] = set()
        self._by_code = {check.code: check for check in checks}
        self.start_over()

    def start_over(self) -> None:
        """Nothing is known, as at the start: of what was found so far another agent tells."""
        self.sweeps = Sweeps(self.plan.folds)
        self.lives: dict[Key, Life] = {}
        self.resolved: deque[FindingState] = deque(maxlen=RESOLVED_KEPT)
        self.cut_offs: deque[tuple[int, str]] = deque(maxlen=Agent.MEMORY)

    @property
    def valid_for(self) -> float:
        """Seconds that an advisory may be believed: two reminders, and the wait for an epoch."""
        epochs = self.pace.interval * self.config.gather.connections_every
        return 2 * (self.config.lifecycle.remind_every + epochs)

    async def epoch(
        self, gatherer: Gatherer, now: float, *, counts: bool = True, settle: float | None = None
    ) -> list[Told]:
        """Ask, judge, and say what changed; `now` is Unix seconds.

        ConnectError, and nothing changed in any finding, if the connection broke meanwhile. Any
        other error makes everything unknown for this epoch, and is noted.
        """
        gatherer.begin()
        self.number += 1
        self.started_at = now
        lifecycle = self.config.lifecycle
        settle = lifecycle.settle if settle is None else settle
        try:
            snapshot = await self._gather(gatherer, now)
            return await self._judge(snapshot, gatherer, now, counts=counts, settle=settle)
        except ConnectError:
            raise
        except nats.errors.Error as error:
            raise ConnectError(f"the connection broke during the epoch: {error}") from None
        except Exception as error:
            if gatherer.client.closed.is_set():
                raise ConnectError("the connection broke during the epoch") from None
            self.note(error)
            with suppress(Exception):  # It is noted, and the next epoch may fare better.
                blind = self._blind(now, place(error))
                return await self._judge(blind, gatherer, now, counts=counts, settle=settle)
            return []

    def note(self, error: Exception) -> None:
        """An error in the program: counted, and logged the first time it comes from its place."""
        self.failed += 1
        self.failures.append((self.number, place(error)))
        self._log_once(place(error), "epoch %d failed: %s", self.number, place(error))
        log.debug("where it came from", exc_info=error)

    def view(self, agent: AgentInfo, access: Access, cost: Cost, max_payload: int) -> View:
        """What queries are answered from until the next epoch ends."""
        return View(
            agent=agent,
            coverage=self.snapshot.coverage,
            access=access,
            checks=self.checks,
            rules=self.rules,
            lives=list(self.lives.values()),
            resolved=list(self.resolved),
            outcomes=self.outcomes,
            servers=list(self.roster),
            swept_at={names: swept.at for names, swept in self.sweeps.last.items()},
            cost=cost,
            started_at=self.started_at,
            interval=self.pace.interval,
            failed_epochs=self.failed,
            last_failure=self.failures[-1][1] if self.failures else "",
            valid_for=self.valid_for,
            max_payload=max_payload,
        )

    async def _judge(
        self, snapshot: Snapshot, gatherer: Gatherer, now: float, *, counts: bool, settle: float
    ) -> list[Told]:
        audited = await stepwise(audit(snapshot, self.rules, self.lives, settle))
        remind_every = self.config.lifecycle.remind_every
        lives, told = await stepwise(
            advance(self.lives, audited, self.rules, now, remind_every=remind_every, counts=counts)
        )
        await stepwise(emptied(audited.found))
        told = await self._explain(told, lives, gatherer)
        await asyncio.sleep(0)
        if gatherer.client.closed.is_set():
            raise ConnectError("the connection broke during the epoch")
        self.snapshot, self.outcomes, self.lives = snapshot, audited.outcomes, lives
        dropped = self.roster.overflow + self.sweeps.dropped + snapshot.dropped_accounts
        self.cost = gatherer.cost(dropped, self.sweeps.oldest(now))
        self.window.grow()
        self._remember(told)
        for code, raised in audited.raised.items():
            self._log_once(raised, f"check {code} is unknown where it raised %s", raised)
        return told

    def _blind(self, now: float, why: str) -> Snapshot:
        """A snapshot of an epoch of which nothing is known."""
        snapshot = Snapshot(self.number, now, self.sweeps)
        names = [entry.name for entry in self.roster.known()]
        snapshot.coverage = Coverage(
            servers_known=len(names), servers_answered=0, missing=sorted(names)
        )
        snapshot.blind = f"the epoch failed: {why}"
        last = self.snapshot.agent
        snapshot.agent.unreachable, snapshot.agent.known = last.unreachable, last.known
        self._look_at_itself(snapshot.agent)
        return snapshot

    def _log_once(self, where: str, text: str, *figures: object) -> None:
        if text + where not in self._logged:
            self._logged.add(text + where)
            log.warning(text, *figures)

    async def _gather(self, gatherer: Gatherer, now: float) -> Snapshot:
        every = self.config.gather.connections_every
        endpoints = set(self.plan.endpoints)
        not_due = {"CONNZ"} if (self.number - 1) % every else set()
        endpoints -= not_due
        self.snapshot.clear()
        replies = await gatherer.small(endpoints, self.roster, now)
        if gatherer.client.closed.is_set():
            raise ConnectError("the connection broke during the epoch")
        self.system_accounts |= {varz.system_account for varz in replies.data["VARZ"].values()}
        self.sweeps.begin({entry.key for entry in self.roster if entry.belongs})
        snapshot = await stepwise(
            build(
                self.roster,
                replies,
                self.sweeps,
                epoch=self.number,
                now=now,
                system_accounts=self.system_accounts,
                own_server=gatherer.client.server_id,
                expect=self.config.expect,
            )
        )
        snapshot.not_due = not_due
        snapshot.accepted = frozenset(self.config.access.without)
        self._look_at_itself(snapshot.agent)
        if "CONNZ" in endpoints and not snapshot.blind:
            await self._sweep(gatherer, snapshot)
            snapshot.denied |= gatherer.denied & {"CONNZ"}
        return snapshot

    def cut_off(self, server: str) -> None:
        """A server cut the agent off as a slow consumer: it was asked for too much at a time."""
        self.cut_offs.append((self.number, server))
        self.window.halve()

    def _look_at_itself(self, agent: Agent) -> None:
        agent.names = (self.id,)
        agent.cut_offs = [
            server for number, server in self.cut_offs if self.number - number <= agent.MEMORY
        ]
        agent.failures = [
            where for number, where in self.failures if self.number - number <= agent.MEMORY
        ]
        agent.window = self.window.size
        agent.late, agent.took = self.pace.late, self.pace.took
        agent.interval = self.pace.interval

    async def _sweep(self, gatherer: Gatherer, snapshot: Snapshot) -> None:
        """Read the connections of the servers where they can tell something new."""
        wanted = set(snapshot.servers)
        if self.config.gather.sweep == "moved":
            wanted = await stepwise(due(snapshot, self.rules, self.lives))
        snapshot.lacking["CONNZ"] = snapshot.absent | wanted
        targets = []
        for server in (snapshot.servers[names] for names in wanted):
            if server.id in gatherer.silent:
                continue
            with suppress(Missing):
                rows = server.varz.connections + server.varz.leafnodes
                targets.append(Target(server.names, server.id, rows))

        folds = self.plan.folds
        start = partial(Sweep, folds, self.system_accounts)
        await gatherer.pages.sweep(targets, folds, start, snapshot.take)
        snapshot.torn = bool(targets) and gatherer.elapsed > TORN_AFTER

    async def _explain(
        self, told: list[Told], lives: dict[Key, Life], gatherer: Gatherer
    ) -> list[Told]:
        """Name the clients behind what opened, changed or is told again, as far as allowed."""
        clients = await name_clients(
            told, self._by_code, gatherer, self.roster, self.system_accounts
        )
        for key, named in clients.items():
            lives[key] = replace(lives[key], clients=named)
        return [
            replace(item, life=lives[item.life.key])
            if item.life.key in clients and item.transition != "resolved"
            else item
            for item in told
        ]

    def _remember(self, told: list[Told]) -> None:
        for item in told:
            if item.transition == "resolved" and item.reason != "severity_changed":
                members = finding_state(item.life, self._by_code[item.life.key.code], 0.0)
                over = at(item.at)
                members |= {"state": "resolved", "resolved_at": over, "valid_until": over}
                self.resolved.append(FindingState(**members))
