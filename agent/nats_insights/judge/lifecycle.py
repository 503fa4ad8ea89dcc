"""The lifecycle of findings: from the last ones and an audit to the new ones and transitions.

    pending --open_after--> open --resolve_after--> (gone)
                              opened, updated, reminded, resolved

No clock is read: the time of the epoch is an argument. An unknown outcome changes no counter. No
advisory contradicts its epoch: there is no reminder of a finding that is clearing.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Raw, Struct
from msgspec.structs import replace

from nats_insights.facts import Names
from nats_insights.judge.audit import DISABLED, NOTHING, Audit, Found, Key
from nats_insights.judge.declare import Severity
from nats_insights.judge.rules import Rule

Transition = Literal["opened", "updated", "reminded", "resolved"]
# A figure that changed by at most this share since it was last published is no update.
NEWS = 0.1
# Evaluations more than `open_after` before one of many opens by itself, once their common finding
# ended: they seldom clear all at once, and the last ones should not open only to resolve.
_ONE_BY_ONE = 2
# Evaluations more than else of a sum over shards: where clients move from one shard to another, two
# in a row may count them on both, or on none.
_MERGED = 1
# Keys that are sorted between two yields.
_AT_A_STEP = 4096


class Life(Struct, frozen=True, kw_only=True, gc=False):
    """One finding, pending or open. Times are Unix seconds; `told_*` is what was last published.

    `evidence` is the check's, as JSON, `clients` those behind it. `stale_since` is the time of its
    last figures while replies that it rests on are missing, and `stale` names these. `home` is the
    cluster of its noun, `rests_on` the (cluster, name) of the server that it is part of. It is
    `eased` while only the eased limits find it. A pending finding does not open while it is
    `explained_by` the finding of that fingerprint; an open one stays open. One that `is_common` is
    about the whole system in place of many. `muted` is until when a person muted it, 0 if nobody
    did.
    """

    key: Key
    severity: Severity
    home: str
    rests_on: Names
    when_gone: str
    scope: str
    fingerprint: str
    entity: dict[str, str]
    is_common: bool = False
    is_open: bool = False
    found: int = 0
    cleared: int = 0
    revision: int = 0
    opened_at: float = 0.0
    updated_at: float = 0.0
    told_at: float = 0.0
    told_value: float | None = None
    summary: str = ""
    value: float | None = None
    threshold: float | None = None
    unit: str = ""
    evidence: Raw = NOTHING
    clients: dict[str, Any] = {}
    servers: tuple[str, ...] = ()
    when_cleared: str = ""
    partial: str = ""
    stale: str = ""
    stale_since: float | None = None
    explained_by: str = ""
    eased: bool = False
    muted: float = 0.0

    @property
    def clearing(self) -> bool:
        """Whether it is open, and its condition was no longer true when it was judged last."""
        return self.is_open and (self.eased or self.cleared > 0)

    def label(self, name: str) -> str:
        """A label of its entity, "" where it has none; `user_name` is that of a JWT."""
        entity = self.entity
        if name == "user_name":
            is_named = entity["kind"] == "user" and entity["name"] != entity["user"]
            return entity["name"] if is_named else ""
        return entity.get(name, "")

    def has(self, label: str, value: str) -> bool:
        """Whether its entity has this label; an account and a user by key or by name."""
        return value in (self.entity.get(label), self.label(f"{label}_name"))


class Told(Struct, frozen=True, kw_only=True, gc=False):
    """One transition to publish, with the finding as it stands after it."""

    transition: Transition
    life: Life
    reason: str
    at: float
    severity_before: Severity | None = None
    severity_now: Severity | None = None


State = Mapping[Key, Life]


def advance(
    state: State,
    result: Audit,
    rules: Iterable[Rule],
    now: float,
    *,
    remind_every: float,
    counts: bool = True,
) -> Generator[None, None, tuple[dict[Key, Life], list[Told]]]:
    """The findings after this audit, in the order of their keys, and what to publish, in steps.

    With `counts` False, for an epoch too soon after the last one, nothing opens or resolves and no
    counter changes, but figures are updated.
    """
    after: dict[Key, Life] = {}
    told: list[Told] = []
    by_code = {rule.check.code: rule for rule in rules}
    parts = []
    for part in _parts({**state, **result.found}):
        parts.append(sorted(part))
        yield
    for key in heapq.merge(*parts):
        yield
        rule, life = by_code.get(key.code), state.get(key)
        if rule is None or (counts and result.gone.get(key) == DISABLED):
            assert life is not None
            told += ended(life, now, DISABLED)
            continue
        if key in result.found:
            life, news = _found(rule, life, result.found[key], key, now, remind_every, counts)
        else:
            assert life is not None
            life, news = _not_found(rule, life, result, now, remind_every, counts)
        told += news
        if life is not None:
            after[key] = life
    return after, told


def _parts(keys: Iterable[Key]) -> Iterator[list[Key]]:
    waiting = iter(keys)
    while part := list(itertools.islice(waiting, _AT_A_STEP)):
        yield part


def _found(
    rule: Rule,
    life: Life | None,
    found: Found,
    key: Key,
    now: float,
    remind_every: float,
    counts: bool,
) -> tuple[Life | None, list[Told]]:
    if life is None:
        if not counts:
            return None, []
        life = _new(key, found)
    if life.is_open:
        if counts:
            return _still(rule, _figures(life, found, now), found.severity, now, remind_every)
        return replace(_figures(life, found, now), cleared=life.cleared), []
    if counts:
        life = replace(life, found=_evaluations(life, found))
    life = replace(_figures(life, found, now), severity=found.severity)
    needed = max(rule.open_after, rule.open_after_torn) if found.torn else rule.open_after
    needed += _MERGED if found.merged else 0
    if not counts or found.explained_by or life.found < needed:
        return life, []
    life = replace(life, is_open=True, opened_at=now)
    life = tell(life, now)
    return life, [Told(transition="opened", life=life, reason="condition_met", at=now)]


def _evaluations(life: Life, found: Found) -> int:
    """In how many evaluations in a row it was found without an explanation."""
    if not found.explained_by:
        return life.found + 1
    return -_ONE_BY_ONE if found.check.common else 0


def _not_found(
    rule: Rule, life: Life, result: Audit, now: float, remind_every: float, counts: bool
) -> tuple[Life | None, list[Told]]:
    key = life.key
    if key.code in result.not_due:
        return _remind(life, now, remind_every)
    if key in result.unknown:
        # Its last figures may be those of another agent, or of one that was away.
        since = min(now, life.updated_at) if life.stale_since is None else life.stale_since
        life = replace(life, stale=result.unknown[key], stale_since=since)
        return _remind(life, now, remind_every)
    life = replace(life, stale="", stale_since=None)
    if not counts:
        return life, []
    if not life.is_open:
        return None, []
    life = replace(life, cleared=life.cleared + 1)
    if key in result.last_word:
        word, evidence = result.last_word[key]
        life = replace(life, summary=word.summary, value=word.value, evidence=evidence)
    if life.cleared < rule.resolve_after + (_MERGED if key.code in result.merged else 0):
        return life, []
    if key in result.gone:
        life = replace(_nothing(life), summary=_filled(life.when_gone, life.entity))
    elif key not in result.last_word:
        over = life.when_cleared or f"no longer true: {life.summary}"
        life = replace(_nothing(life), summary=over)
    return None, ended(life, now, result.gone.get(key, "condition_cleared"))


def _nothing(life: Life) -> Life:
    """Without the figures, which are out of date."""
    return replace(life, value=None, evidence=NOTHING, partial="")


def _filled(sentence: str, entity: Mapping[str, str]) -> str:
    named = {**entity, "account": entity.get("account_name") or entity.get("account", "")}
    return re.sub(r"\{(\w+)\}", lambda hit: named.get(hit[1], ""), sentence)


def _new(key: Key, found: Found) -> Life:
    subject = found.subject
    return Life(
        key=key,
        severity=found.severity,
        home=subject.home,
        rests_on=subject.rests_on,
        when_gone=subject.when_gone,
        scope=subject.scope,
        fingerprint=found.fingerprint,
        is_common=subject.kind != found.check.about.kind,
        entity=subject.entity(),
    )


def _figures(life: Life, found: Found, now: float) -> Life:
    finding = found.finding
    return replace(
        life,
        entity=found.subject.entity(),
        cleared=0,
        updated_at=now,
        summary=finding.summary,
        value=finding.value,
        threshold=finding.threshold,
        unit=finding.unit,
        evidence=found.evidence,
        servers=finding.servers,
        when_cleared=finding.cleared,
        partial=found.partial,
        stale="",
        stale_since=None,
        explained_by=found.explained_by,
        eased=found.eased,
    )


def _still(
    rule: Rule, life: Life, severity: Severity, now: float, remind_every: float
) -> tuple[Life, list[Told]]:
    """An open finding that was found again: a new severity, an update, a reminder, or nothing."""
    if severity != life.severity:
        before = tell(life, now)
        after = tell(replace(before, severity=severity), now)
        before = replace(before, clients={})  # These are out of date.
        reason = "severity_changed"
        return after, [
            Told(transition="resolved", life=before, reason=reason, at=now, severity_now=severity),
            Told(
                transition="opened",
                life=after,
                reason=reason,
                at=now,
                severity_before=life.severity,
            ),
        ]
    if rule.check.news and _is_news(life):
        life = tell(life, now)
        return life, [Told(transition="updated", life=life, reason="value_changed", at=now)]
    kept, news = _remind(life, now, remind_every)
    assert kept is not None
    return kept, news


def _is_news(life: Life) -> bool:
    if life.value is None or life.told_value is None:
        return life.value is not life.told_value
    if life.partial and life.value < life.told_value:
        return False
    return abs(life.value - life.told_value) > NEWS * abs(life.told_value)


def _remind(life: Life, now: float, remind_every: float) -> tuple[Life | None, list[Told]]:
    # It was told later than now if the clock was set back: then it is due, too.
    if not life.is_open or life.cleared or 0 <= now - life.told_at < remind_every:
        return life, []
    life = tell(life, now)
    return life, [Told(transition="reminded", life=life, reason="still_open", at=now)]


def ended(life: Life, now: float, reason: str) -> list[Told]:
    """What to publish of its end: nothing if it was pending."""
    if not life.is_open:
        return []
    # The clients are out of date.
    life = tell(replace(life, updated_at=now, clients={}), now)
    return [Told(transition="resolved", life=life, reason=reason, at=now)]


def tell(life: Life, now: float) -> Life:
    """The finding as it stands when it is published once more."""
    return replace(life, revision=life.revision + 1, told_at=now, told_value=life.value)
