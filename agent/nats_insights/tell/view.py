"""The view: the state after the last epoch, from which queries are answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from functools import cached_property

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

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
from nats_insights.tell.messages import AgentInfo, OpenCounts, PublishingState, ShardState, Verdict
from nats_insights.tell.ranking import parts, worst_first
from nats_insights.tell.requests import Refused
from nats_insights.tell.tenants import (
    NOBODY,
    SCOPE,
    Tenants,
    account_in,
    shared,
    told_to_all,
    unnamed,
)

# In place of reasons that name servers, or that are about other accounts.
_OF_ONE = "an account is told of one shard alone"
_NOT_ALL = "it could not be evaluated for all accounts"


class View(Struct, kw_only=True, dict=True):
    """The state after the last epoch, from which queries are answered.

    `lives` are in the order of their keys, `ranked` are the open ones as they were asked for.
    `transitions` are the last ones, of which none is missing after `known_since`, Unix seconds.
    `shards` are the other ones of a divided system: all else is about this one.
    `muting` has the number of open findings of each of the `mutes`.
    `grouped` has the findings about each account. It is of the whole system, or of what `account`
    may know. `publishing` is as of now: it changes between epochs.
    """

    agent: AgentInfo
    coverage: Coverage
    access: Access | UnsetType
    checks: list[Check]
    rules: list[Rule]
    lives: list[Life]
    transitions: list[Told]
    known_since: float
    outcomes: dict[str, Outcome]
    servers: list[Entry]
    swept_at: dict[Names, float] = {}
    cost: Cost | UnsetType
    started_at: float
    interval: float
    failed_epochs: int = 0
    last_failure: str = ""
    valid_for: float
    max_payload: int = 1024 * 1024
    ranked: list[Life] | None = None
    shards: list[ShardState] = []
    mutes: list[Mute] = []
    muting: dict[What, int] = {}
    tenants: Tenants = NOBODY
    account: str = ""
    grouped: dict[str, list[Life]] | None = None
    publishing: PublishingState | UnsetType = UNSET

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

    def by_account(self) -> Generator[None, None, dict[str, list[Life]]]:
        """The findings about each account, in steps; they are grouped once, when a tenant asks."""
        if self.grouped is None:
            grouped: dict[str, list[Life]] = defaultdict(list)
            for part in parts(self.lives):
                for life in part:
                    grouped[account_in(life)].append(life)
                yield
            self.grouped = grouped
        return self.grouped

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
            tenants=Tenants(
                auditor.config.tenants.accounts,
                auditor.jwt_names.accounts,
                auditor.system_accounts,
            ),
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


def of_tenant(view: View, account: str) -> Generator[None, None, View]:
    """What a tenant may know of the state after an epoch; Refused if this account is none."""
    if not view.tenants.has(account):
        raise Refused(404, "this account is not a tenant of the agent")
    checks = [check for check in view.checks if check.about.scope == SCOPE]
    codes = {check.code for check in checks}
    lives = (yield from view.by_account()).get(account, [])
    return replace(
        view,
        account=account,
        coverage=unnamed(view.coverage),
        access=UNSET,
        checks=checks,
        lives=[shared(life) for life in lives],
        transitions=[
            told_to_all(told) for told in view.transitions if account_in(told.life) == account
        ],
        outcomes={code: _outcome(one) for code, one in view.outcomes.items() if code in codes},
        servers=[],
        swept_at={},
        cost=UNSET,
        publishing=UNSET,
        mutes=[],
        muting={},
        failed_epochs=0,
        last_failure="",
        shards=[ShardState(name=shard.name, why=_OF_ONE) for shard in view.shards],
        ranked=None,
        grouped=None,
    )


def _outcome(outcome: Outcome) -> Outcome:
    """Whether a check could be evaluated; not for how many accounts, nor what it lacked."""
    return Outcome(why=_NOT_ALL if outcome.why else "", excused=outcome.excused)
