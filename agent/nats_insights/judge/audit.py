"""Run checks over a snapshot: the only place that knows that a check can lack data or fail.

For one check and one noun:

    a Finding                              found
    a Missing                              unknown, with what is missing
    None, held, a reply of it is not in    unknown
    None                                   clear
    held, but not in the snapshot          clear if all it could hide in is in, else unknown
    cluster settling, check raised on it   unknown, with that word

    an endpoint not due                    the whole check: not due
    an endpoint not permitted, or the
    snapshot blind                         the whole check: unknown, with that word

Unknown neither opens nor resolves anything. What is open is judged by the eased limits too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from nats_insights.errors import Missing, NotTold, place
from nats_insights.judge.declare import Check, Finding, Params, Severity
from nats_insights.judge.rules import Rule
from nats_insights.model.fold import Fold
from nats_insights.model.nouns import ALL_SERVERS, NOBODY, Noun
from nats_insights.model.roster import Names
from nats_insights.model.snapshot import Snapshot

# Evidence that says nothing.
NOTHING = Raw(b"{}")
# Findings that are sorted by their check between two yields.
_AT_A_STEP = 1024


class Key(NamedTuple):
    """Which finding: the code of the check, and the stable names of what it is about."""

    code: str
    names: Names


class Held(Protocol):
    """What the audit must know of a finding that is pending or open."""

    @property
    def severity(self) -> Severity: ...
    @property
    def home(self) -> str: ...
    @property
    def rests_on(self) -> Names: ...
    @property
    def is_open(self) -> bool: ...


class Found(Struct, frozen=True, eq=False, gc=False):
    """A finding, and what it is about. `partial` names a reply that lacks: at least this.

    It is `torn` where it rests on a sum that may count twice what moved meanwhile.

    The evidence of the finding is here, as JSON: there may be a hundred thousand findings, and the
    garbage collector stops everything to look at each list and dict that is left lying.
    """

    check: Check
    subject: Noun
    finding: Finding
    severity: Severity
    partial: str = ""
    evidence: Raw = NOTHING
    torn: bool = False


class Outcome(Struct, frozen=True):
    """What became of one check in one epoch, in numbers of nouns.

    `why` says why it could not be judged, wholly or for some, "" where it could. It is `excused`
    where that is as it should be: a cluster settles, a server's version does not tell, or the
    configuration accepts that the agent may not ask.
    """

    judged: int = 0
    found: int = 0
    unknown: int = 0
    not_due: bool = False
    why: str = ""
    excused: bool = False


class Doubt(NamedTuple):
    """Why a noun could not be judged, and whether that is as it should be."""

    why: str
    excused: bool = False


_SETTLING = Doubt("settling", excused=True)


class Audit:
    """The result for one snapshot.

    `gone` has the reason for each held finding whose noun is no more, `last_word` the figures of
    held findings that are clear, and `raised` says of each check that raised what and where.
    """

    def __init__(self) -> None:
        self.found: dict[Key, Found] = {}
        self.unknown: dict[Key, str] = {}
        self.not_due: set[str] = set()
        self.gone: dict[Key, str] = {}
        self.last_word: dict[Key, tuple[Finding, Raw]] = {}
        self.raised: dict[str, str] = {}
        self.outcomes: dict[str, Outcome] = {}


def audit(
    snapshot: Snapshot, rules: Iterable[Rule], held: Mapping[Key, Held], settle: float
) -> Generator[None, None, Audit]:
    """Judge every noun, one at a step."""
    result = Audit()
    by_code: dict[str, dict[Names, Held]] = defaultdict(dict)
    for number, (key, life) in enumerate(held.items()):
        by_code[key.code][key.names] = life
        if number % _AT_A_STEP == 0:
            yield
    for rule in rules:
        yield from _run(snapshot, rule, by_code[rule.check.code], settle, result)
    return result


def _run(
    snapshot: Snapshot,
    rule: Rule,
    mine: Mapping[Names, Held],
    settle: float,
    result: Audit,
) -> Generator[None, None, None]:
    check = rule.check
    if snapshot.blind and check.about.depends_on != NOBODY:
        _leave(result, check.code, mine, snapshot.blind)
        return
    if not snapshot.denied.isdisjoint(check.needs):
        denied = snapshot.denied & set(check.needs)
        why = f"not permitted: {', '.join(sorted(denied))}"
        _leave(result, check.code, mine, why, excused=denied <= snapshot.accepted)
        return
    if not snapshot.not_due.isdisjoint(check.needs):
        result.not_due.add(check.code)
        result.outcomes[check.code] = Outcome(not_due=True)
        return
    found, unknown = len(result.found), len(result.unknown)
    judged, here = 0, set()
    doubts: dict[bool, str] = {}
    for subject in snapshot.each(check.about):
        yield
        judged += 1
        held = mine.get(subject.names)
        if held is not None:
            here.add(subject.names)
        doubt = _judge(snapshot, rule, subject, held, settle, result)
        if doubt is not None:
            doubts[doubt.excused] = doubt.why
    for names in mine.keys() - here:
        yield
        _vanished(snapshot, check, Key(check.code, names), mine[names], result)
    why = doubts.get(False) or snapshot.owed(check.needs)
    result.outcomes[check.code] = Outcome(
        judged=judged,
        found=len(result.found) - found,
        unknown=len(result.unknown) - unknown,
        why=why or doubts.get(True, ""),
        excused=not why and True in doubts,
    )


def _judge(
    snapshot: Snapshot,
    rule: Rule,
    subject: Noun,
    held: Held | None,
    settle: float,
    result: Audit,
) -> Doubt | None:
    """Put one noun where it belongs; why it is unknown, None where it is not."""
    check, key = rule.check, Key(rule.check.code, subject.names)
    if held is None and subject.home in snapshot.ruled_out.get(check.code, ()):
        return None
    try:
        doubt = _found_or_clear(snapshot, rule, subject, held, settle, result)
    except NotTold as untold:
        doubt = Doubt(str(untold), excused=True)
    except Missing as missing:
        doubt = Doubt(str(missing))
    except Exception as error:  # It is unknown of this noun, and of no other.
        result.raised[check.code] = place(error)
        doubt = Doubt(f"the check raised {place(error)}")
    if doubt is not None:
        result.unknown[key] = doubt.why
    return doubt


def _found_or_clear(
    snapshot: Snapshot,
    rule: Rule,
    subject: Noun,
    held: Held | None,
    settle: float,
    result: Audit,
) -> Doubt | None:
    check, key = rule.check, Key(rule.check.code, subject.names)
    params = rule.resolve(subject)
    is_open = held is not None and held.is_open
    finding = check.judge(subject, params)
    if held is not None and is_open:
        finding = _hold(rule, subject, params, finding, held.severity)
    if finding is None and held is None:
        return None
    if check.settle and snapshot.settling(subject, settle):
        return _SETTLING
    lacking = snapshot.lacks(subject, check.needs)
    if finding is not None:
        severity = rule.severity_of(finding.severity)
        finding, evidence = _packed(finding)
        torn = snapshot.torn and subject.depends_on == ALL_SERVERS
        result.found[key] = Found(check, subject, finding, severity, lacking, evidence, torn)
        return None
    if lacking and not _clear_at_most(rule, subject, params):
        return Doubt(lacking)
    if is_open:
        _last_word(check, subject, params, key, result)
    return None


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
    """Whether it is clear even if each silent server still holds what it last held.

    Only the noun's own folds have such figures, so a check that reads anything else cannot know.
    """
    check = rule.check
    if not set(check.folds) <= set(subject.filled) or set(check.needs) - _endpoints(subject.filled):
        return False
    most = subject.at_most()
    return most is not None and check.judge(most, check.eased(params)) is None


def _endpoints(folds: Iterable[Fold]) -> set[str]:
    return {fold.endpoint for fold in folds}


def _last_word(check: Check, subject: Noun, params: Params, key: Key, result: Audit) -> None:
    """The figure of a finding that is clear, for those who read that it resolved."""
    try:
        finding = check.judge(subject, check.unlimited(params))
    except Missing:
        return
    if finding is not None:
        result.last_word[key] = _packed(finding)


def _packed(finding: Finding) -> tuple[Finding, Raw]:
    if not finding.evidence:
        return finding, NOTHING
    return replace(finding, evidence={}), Raw(msgspec.json.encode(finding.evidence))


def _vanished(snapshot: Snapshot, check: Check, key: Key, held: Held, result: Audit) -> None:
    """Gone only if every reply that it could hide in is here."""
    lacking = snapshot.lacks_for(check.about, key.names, held.home, held.rests_on, check.needs)
    if lacking:
        result.unknown[key] = lacking
    else:
        forgotten = held.rests_on in snapshot.forgotten
        result.gone[key] = "forgotten" if forgotten else "entity_gone"


def _leave(
    result: Audit, code: str, mine: Mapping[Names, Held], why: str, *, excused: bool = False
) -> None:
    """A check that cannot be judged at all."""
    result.unknown.update({Key(code, names): why for names in mine})
    result.outcomes[code] = Outcome(unknown=len(mine), why=why, excused=excused)
