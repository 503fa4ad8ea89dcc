"""The view: the state after the last epoch, from which queries are answered."""

from __future__ import annotations

from collections.abc import Generator
from functools import cached_property

from msgspec import Struct

from nats_insights.facts import Access, Cost, Coverage, Names
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.audit import Outcome
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.judge.mutes import Mute, What
from nats_insights.judge.rules import Rule
from nats_insights.model.roster import Entry
from nats_insights.tell.advisory import counts
from nats_insights.tell.messages import AgentInfo, OpenCounts, Verdict
from nats_insights.tell.ranking import worst_first


class View(Struct, kw_only=True, dict=True):
    """The state after the last epoch, from which queries are answered.

    `lives` are in the order of their keys, `ranked` are the open ones as they were asked for.
    `transitions` are the last ones, of which none is missing after `known_since`, Unix seconds.
    `muting` has the number of open findings of each of the `mutes`.
    """

    agent: AgentInfo
    coverage: Coverage
    access: Access
    checks: list[Check]
    rules: list[Rule]
    lives: list[Life]
    transitions: list[Told]
    known_since: float
    outcomes: dict[str, Outcome]
    servers: list[Entry]
    swept_at: dict[Names, float] = {}
    cost: Cost
    started_at: float
    interval: float
    failed_epochs: int = 0
    last_failure: str = ""
    valid_for: float
    max_payload: int = 1024 * 1024
    ranked: list[Life] | None = None
    mutes: list[Mute] = []
    muting: dict[What, int] = {}

    @cached_property
    def counts(self) -> OpenCounts:
        """How many findings are open and not muted, by severity."""
        return counts(self.lives)

    @cached_property
    def muted(self) -> OpenCounts:
        """How many findings are open and muted, by severity."""
        return counts(self.lives, muted=True)

    @property
    def open(self) -> list[Life]:
        """Open findings, the worst first."""
        return at_once(self.worst_first())

    def worst_first(self) -> Generator[None, None, list[Life]]:
        """The same in steps; they are ordered once, when somebody asks for them."""
        if self.ranked is None:
            self.ranked = yield from worst_first(life for life in self.lives if life.is_open)
        return self.ranked

    @classmethod
    def of(
        cls, auditor: Auditor, agent: AgentInfo, access: Access, cost: Cost, max_payload: int
    ) -> View:
        """The view after an epoch."""
        return cls(
            agent=agent,
            coverage=auditor.snapshot.coverage,
            access=access,
            checks=auditor.checks,
            rules=auditor.rules,
            lives=list(auditor.lives.values()),
            transitions=list(auditor.transitions),
            known_since=auditor.transitions.since or auditor.now,
            outcomes=auditor.outcomes,
            servers=list(auditor.roster),
            swept_at={names: swept.at for names, swept in auditor.sweeps.last.items()},
            cost=cost,
            started_at=auditor.now,
            interval=auditor.pace.interval,
            failed_epochs=auditor.failed,
            last_failure=auditor.failures[-1][1] if auditor.failures else "",
            valid_for=auditor.valid_for,
            max_payload=max_payload,
            mutes=list(auditor.mutes),
            muting=auditor.mutes.muting,
        )

    @property
    def resolved(self) -> list[Told]:
        """The findings that resolved lately, the first one first."""
        return [
            told
            for told in self.transitions
            if told.transition == "resolved" and told.reason != "severity_changed"
        ]

    def rule(self, code: str) -> Rule | None:
        """The rule of a check, None where the check is disabled."""
        return next((rule for rule in self.rules if rule.check.code == code), None)


def verdict(view: View) -> Verdict:
    """The worst severity that is open and not muted.

    Unknown if coverage is incomplete, unless something critical is open.
    Coverage is complete if each known server answered and each enabled check could be judged.
    """
    if view.counts.critical:
        return "critical"
    if not view.coverage.complete or not_evaluated(view):
        return "unknown"
    if view.counts.warning:
        return "warning"
    return "info" if view.counts.info else "ok"


def not_evaluated(view: View) -> int:
    """The number of checks that the verdict waits for."""
    return sum(1 for one in view.outcomes.values() if one.why and not one.excused)
