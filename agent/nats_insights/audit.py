"""Run checks over a snapshot: the only place that knows that a check can lack data or fail.

For one check and one noun:

    a Finding                              found
    a Missing                              unknown, with what is missing
    None, held, a reply of it is not in    unknown
    None                                   clear
    held, but not in the snapshot          clear if all it could hide in is in, else unknown
    endpoint not due, not permitted,
    cluster settling, check raised         unknown, with that word

Unknown neither opens nor resolves anything. What is open is judged by the eased limits too.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from .check import Check, Finding, Params, Severity
from .errors import Missing
from .nouns import Noun
from .roster import Names
from .rules import Rule
from .snapshot import Snapshot

log = logging.getLogger(__name__)


class Key(NamedTuple):
    """Which finding: the code of the check, and the stable names of what it is about."""

    code: str
    names: Names


class Held(Struct, frozen=True):
    """What the audit must know of a finding that is pending or open."""

    severity: Severity
    home: str
    is_open: bool


class Found(Struct, frozen=True, eq=False):
    """A finding, and what it is about. `partial` names a reply that lacks: at least this."""

    check: Check
    subject: Noun
    finding: Finding
    severity: Severity
    partial: str = ""


class Outcome(Struct, frozen=True):
    """What became of one check in one epoch; `why` it could not be judged, where it could not."""

    judged: int = 0
    found: int = 0
    unknown: int = 0
    not_due: bool = False
    why: str = ""


class Audit:
    """The result for one snapshot. `last_word` has the figures of held findings that are clear."""

    def __init__(self) -> None:
        self.found: dict[Key, Found] = {}
        self.unknown: dict[Key, str] = {}
        self.not_due: set[str] = set()
        self.gone: set[Key] = set()
        self.last_word: dict[Key, Finding] = {}
        self.outcomes: dict[str, Outcome] = {}


def audit(
    snapshot: Snapshot, rules: Iterable[Rule], held: Mapping[Key, Held], settle: float
) -> Generator[None, None, Audit]:
    """Judge every noun, one at a step."""
    result = Audit()
    for rule in rules:
        code = rule.check.code
        mine = {key.names: life for key, life in held.items() if key.code == code}
        try:
            yield from _run(snapshot, rule, mine, settle, result)
        except Exception as error:  # A check that raises is unknown for everybody this epoch.
            log.warning("check %s raised %s: %s", code, type(error).__name__, error)
            log.debug("where it did", exc_info=True)
            _drop(result, code, mine, f"the check raised {type(error).__name__}")
    return result


def _run(
    snapshot: Snapshot,
    rule: Rule,
    mine: Mapping[Names, Held],
    settle: float,
    result: Audit,
) -> Generator[None, None, None]:
    check = rule.check
    if not snapshot.denied.isdisjoint(check.needs):
        denied = ", ".join(sorted(snapshot.denied & set(check.needs)))
        _drop(result, check.code, mine, f"not permitted: {denied}")
        return
    if not snapshot.not_due.isdisjoint(check.needs):
        result.not_due.add(check.code)
        result.outcomes[check.code] = Outcome(not_due=True)
        return
    judged, why, here = 0, "", set()
    for subject in snapshot.each(check.about):
        yield
        judged += 1
        held = mine.get(subject.names)
        if held is not None:
            here.add(subject.names)
        why = _judge(snapshot, rule, subject, held, settle, result) or why
    why = why or snapshot.owed(check.needs)
    for names in mine.keys() - here:
        _vanished(snapshot, check, Key(check.code, names), mine[names], result)
    result.outcomes[check.code] = Outcome(
        judged=judged,
        found=sum(key.code == check.code for key in result.found),
        unknown=sum(key.code == check.code for key in result.unknown),
        why=why,
    )


def _judge(
    snapshot: Snapshot,
    rule: Rule,
    subject: Noun,
    held: Held | None,
    settle: float,
    result: Audit,
) -> str:
    """Put one noun where it belongs; why it is unknown, else ""."""
    check, key = rule.check, Key(rule.check.code, subject.names)
    if held is None and subject.home in snapshot.ruled_out.get(check.code, ()):
        return ""
    params = rule.resolve(subject)
    is_open = held is not None and held.is_open
    try:
        finding = check.judge(subject, params)
        if is_open and held is not None:
            finding = _hold(rule, subject, params, finding, held.severity)
        if finding is None and held is None:
            return ""
        if check.settle and snapshot.settling(subject, settle):
            result.unknown[key] = "settling"
            return "settling"
    except Missing as missing:
        result.unknown[key] = str(missing)
        return str(missing)
    lacking = snapshot.lacks(subject, check.needs)
    if finding is not None:
        severity = rule.severity_of(finding.severity)
        result.found[key] = Found(check, subject, finding, severity, lacking)
        return ""
    if lacking and not _clear_at_most(rule, subject, params):
        result.unknown[key] = lacking
        return lacking
    if is_open:
        _last_word(check, subject, params, key, result)
    return ""


def _hold(
    rule: Rule, subject: Noun, params: Params, now: Finding | None, severity: Severity
) -> Finding | None:
    """An open finding stays above its eased limits; its severity falls only below its own."""
    if now is not None and rule.severity_of(now.severity) >= severity:
        return now
    eased = rule.check.judge(subject, rule.check.eased(params))
    if eased is None:
        return now
    return replace(eased, severity=min(severity, rule.severity_of(eased.severity)))


def _clear_at_most(rule: Rule, subject: Noun, params: Params) -> bool:
    """Whether it is clear even if each silent server still holds what it last held."""
    most = subject.at_most()
    return most is not None and rule.check.judge(most, rule.check.eased(params)) is None


def _last_word(check: Check, subject: Noun, params: Params, key: Key, result: Audit) -> None:
    """The figure of a finding that is clear, for those who read that it resolved."""
    try:
        finding = check.judge(subject, check.unlimited(params))
    except Missing:
        return
    if finding is not None:
        result.last_word[key] = finding


def _vanished(snapshot: Snapshot, check: Check, key: Key, held: Held, result: Audit) -> None:
    """Gone only if every reply that it could hide in is here."""
    lacking = snapshot.lacks_for(check.about, key.names, held.home, check.needs)
    if lacking:
        result.unknown[key] = lacking
    else:
        result.gone.add(key)


def _drop(result: Audit, code: str, mine: Mapping[Names, Held], why: str) -> None:
    for key in [key for key in result.found if key.code == code]:
        del result.found[key]
    result.unknown.update({Key(code, names): why for names in mine})
    result.outcomes[code] = Outcome(unknown=len(mine), why=why)
