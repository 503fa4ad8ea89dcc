"""The view: the state after the last epoch, from which queries are answered."""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from nats_insights.facts import Access, Cost, Coverage, Names
from nats_insights.judge.audit import Outcome
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.declare import CRITICAL, Check, Severity
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.judge.rules import Rule
from nats_insights.model.roster import Entry
from nats_insights.tell.messages import AgentInfo, Verdict


class View(Struct, kw_only=True, dict=True):
    """The state after the last epoch, from which queries are answered.

    `lives` are in the order of their keys.
    """

    agent: AgentInfo
    coverage: Coverage
    access: Access
    checks: list[Check]
    rules: list[Rule]
    lives: list[Life]
    resolved: list[Told]
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

    @cached_property
    def open(self) -> list[Life]:
        """Open findings, the worst first, in the order of their keys within each severity."""
        by_severity: dict[Severity, list[Life]] = {severity: [] for severity in Severity}
        for life in self.lives:
            if life.is_open:
                by_severity[life.severity].append(life)
        return [
            life for severity in sorted(by_severity, reverse=True) for life in by_severity[severity]
        ]

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
            resolved=list(auditor.resolved),
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
        )

    def rule(self, code: str) -> Rule | None:
        """The rule of a check, None where the check is disabled."""
        return next((rule for rule in self.rules if rule.check.code == code), None)


def verdict(view: View) -> Verdict:
    """The worst open severity; unknown if coverage is incomplete and nothing critical is open.

    Coverage is complete if each known server answered and each enabled check could be judged.
    """
    worst = view.open[0].severity if view.open else None
    if worst is CRITICAL:
        return "critical"
    if not view.coverage.complete or not_evaluated(view):
        return "unknown"
    return "ok" if worst is None else str(worst)  # type: ignore[return-value]


def not_evaluated(view: View) -> int:
    """The number of checks that the verdict waits for."""
    return sum(1 for one in view.outcomes.values() if one.why and not one.excused)
