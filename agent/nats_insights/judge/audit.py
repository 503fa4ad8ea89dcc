"""Run checks over a snapshot: the only module that handles missing data and errors of checks.

For one check and one noun:

    a Finding                              found
    a Missing                              unknown, with what is missing
    None, held, a reply of it is missing   unknown
    None                                   clear
    held, but not in the snapshot          clear if no reply about it is missing, else unknown
    cluster settling, check raised on it   unknown, with that reason

    an endpoint not due                    the whole check: not due
    an endpoint not permitted, or the
    snapshot blind                         the whole check: unknown, with that reason

Unknown neither opens nor resolves a finding. An open finding is also judged by the eased limits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from nats_insights.errors import Missing, NotTold, TooSoon, place
from nats_insights.facts import Names
from nats_insights.judge.declare import Check, Finding, Severity
from nats_insights.judge.rules import InForce, Rule
from nats_insights.judge.shards import left, merges, spans
from nats_insights.model.fold import Fold
from nats_insights.model.nouns.noun import ALL_SERVERS, ITS_SERVER, NOBODY, Noun
from nats_insights.model.snapshot import Snapshot

# Empty evidence.
NOTHING = Raw(b"{}")
# Findings that are sorted by their check between two yields.
_AT_A_STEP = 1024
# The reason for the end of a finding whose check was disabled, for all nouns or for its noun.
DISABLED = "check_disabled"
# Nouns that are judged between two yields: a judgement without a finding takes a third of a
# microsecond, and so does a yield.
_QUIET_AT_A_STEP = 64


class Key(NamedTuple):
    """The key of a finding: the code of its check, and the stable names of its noun."""

    code: str
    names: Names


class Held(Protocol):
    """What the audit needs of a finding that is pending or open."""

    @property
    def severity(self) -> Severity: ...
    @property
    def home(self) -> str: ...
    @property
    def rests_on(self) -> Names: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_common(self) -> bool: ...
    @property
    def fingerprint(self) -> str: ...


class Found(Struct, frozen=True, eq=False, gc=False):
    """A finding and its noun. `partial` names a missing reply: the figures are then minimums.

    It is `torn` if it rests on a sum that may count moved clients twice, `merged` if that is one
    over shards, which count at different times, and `eased` if only the eased limits, by which an
    open finding is held, still find it. `explained_by` is the fingerprint of the finding that
    explains it.

    The evidence is kept here as JSON: there may be a hundred thousand findings, and a garbage
    collection stops the process to visit each list and dict.
    """

    check: Check
    subject: Noun
    finding: Finding
    severity: Severity
    partial: str = ""
    evidence: Raw = NOTHING
    torn: bool = False
    eased: bool = False
    explained_by: str = ""
    merged: bool = False

    @property
    def fingerprint(self) -> str:
        """The identity of the finding."""
        return self.check.fingerprint(self.subject.kind, self.subject.names)


class Outcome(Struct, frozen=True):
    """The result of one check in one epoch, in numbers of nouns.

    `why` is the reason why it could not be judged, wholly or for some nouns, "" if it could. It is
    `excused` if that is expected: a cluster settles, a server's version does not send the figure, a
    check that compares needs another epoch, or the configuration accepts the missing permission.
    In an epoch in which it is `not_due` the rest is that of the last one in which it was.
    """

    judged: int = 0
    found: int = 0
    unknown: int = 0
    not_due: bool = False
    why: str = ""
    excused: bool = False


class Doubt(NamedTuple):
    """Why a noun could not be judged, and whether that is expected."""

    why: str
    excused: bool = False


_SETTLING = Doubt("settling", excused=True)
_NEVER = Outcome(why="not looked at yet since the start", excused=True)


class Audit:
    """The result for one snapshot.

    `gone` has the reason for each held finding whose noun was removed, `last_word` the figures of
    held findings that are clear, and `raised` the error of each check that raised, and its place.
    `merged` are the codes of checks that judge sums over shards, which count at different times.
    """

    def __init__(self) -> None:
        self.found: dict[Key, Found] = {}
        self.unknown: dict[Key, str] = {}
        self.not_due: set[str] = set()
        self.merged: set[str] = set()
        self.gone: dict[Key, str] = {}
        self.last_word: dict[Key, tuple[Finding, Raw]] = {}
        self.raised: dict[str, str] = {}
        self.outcomes: dict[str, Outcome] = {}


def audit(
    snapshot: Snapshot,
    rules: Iterable[Rule],
    held: Mapping[Key, Held],
    settle: float,
    ruled_out: Mapping[str, Collection[str]] | None = None,
    before: Mapping[str, Outcome] | None = None,
) -> Generator[None, None, Audit]:
    """Judge every noun. `ruled_out` are clusters in which a check can find nothing, by its code.

    `before` has the outcome of each check in the last epoch in which it was due.
    """
    result = Audit()
    by_code: dict[str, dict[Names, Held]] = defaultdict(dict)
    for number, (key, life) in enumerate(held.items()):
        by_code[key.code][key.names] = life
        if number % _AT_A_STEP == 0:
            yield
    for rule in rules:
        code = rule.check.code
        run = _Run(
            snapshot,
            rule,
            by_code[code],
            settle,
            (ruled_out or {}).get(code, ()),
            (before or {}).get(code, _NEVER),
            result,
        )
        yield from run.all()
    return result


class _Run:
    """One check over one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        rule: Rule,
        held: Mapping[Names, Held],
        settle: float,
        ruled_out: Collection[str],
        before: Outcome,
        result: Audit,
    ) -> None:
        self.snapshot = snapshot
        self.rule = rule
        self.check = rule.check
        self.held = held
        self.settle = settle
        self.ruled_out = ruled_out
        self.before = before
        self.result = result
        self.doubts: dict[bool, str] = {}

    def all(self) -> Generator[None, None, None]:
        """Judge every noun that the check is about."""
        check, lacking, result = self.check, self.snapshot.lacking, self.result
        if why := left(check, self.snapshot.shards):
            self._leave(why, excused=True)
            return
        if self.snapshot.shards.divided and merges(check):
            result.merged.add(check.code)
        if lacking.blind and check.about.depends_on != NOBODY:
            self._leave(lacking.blind)
            return
        if not lacking.denied.isdisjoint(check.needs):
            denied = lacking.denied & set(check.needs)
            why = f"not permitted: {', '.join(sorted(denied))}"
            self._leave(why, excused=denied <= lacking.accepted)
            return
        if not lacking.not_due.isdisjoint(check.needs):
            self._not_due()
            return
        if check.code in result.merged and self.snapshot.shards.waits:
            self._not_due()
            return
        found, unknown = len(result.found), len(result.unknown)
        here: set[Names] = set()
        judged = yield from self._each(here)
        if check.above:
            judged = check.about.count(self.snapshot)
        for names in self.held.keys() - here:
            yield
            self._vanished(names)
        self._doubt_sums()
        why = self.doubts.get(False) or lacking.of_system(check.needs, here=not spans(check))
        result.outcomes[check.code] = Outcome(
            judged=judged,
            found=len(result.found) - found,
            unknown=len(result.unknown) - unknown,
            why=why or self.doubts.get(True, ""),
            excused=not why and True in self.doubts,
        )

    def _not_due(self) -> None:
        self.result.not_due.add(self.check.code)
        self.result.outcomes[self.check.code] = replace(self.before, not_due=True)

    def _each(self, here: set[Names]) -> Generator[None, None, int]:
        """Judge each noun once: most have no finding, and cost no more than their judgement."""
        rule, held, ruled_out = self.rule, self.held, self.ruled_out
        judge, force = self.check.judge, rule.everywhere()
        enabled, params = force.enabled, force.params
        resolve = rule.resolve if rule.varies else None
        late = self._late()
        judged = 0
        for subject in self._subjects():
            judged += 1
            if judged % _QUIET_AT_A_STEP == 0:
                yield
            names = subject.names
            if held and names in held:
                here.add(names)
                self._put(subject, held[names])
                yield
                continue
            if ruled_out and subject.home in ruled_out:
                continue
            try:
                if resolve is not None:
                    force = resolve(subject)
                    enabled, params = force.enabled, force.params
                if not enabled:
                    continue
                if late and (why := late.get(subject.rests_on)):
                    # What the check would raise: cheaper where many servers are silent.
                    self.result.unknown[Key(self.check.code, names)] = why
                    self.doubts[False] = why
                    continue
                if judge(subject, params) is None:
                    continue
            except TooSoon as missing:  # Of all nouns at once, for hours: too many to judge again.
                self._doubt(subject, _too_short(missing))
                continue
            except Exception:
                pass  # `_put` judges it again and records the reason.
            self._put(subject, None)
            yield
        return judged

    def _subjects(self) -> Iterable[Noun]:
        """The nouns that may have a finding; `above` selects them if there may be a million."""
        check = self.check
        return self._above(check.above) if check.above else check.about.all(self.snapshot)

    def _above(self, parameter: str) -> Iterator[Noun]:
        """Those above the loosest limit in force anywhere, and those that are held."""
        about, least = self.check.about, getattr(self.rule.loosest(), parameter)
        rest = set(self.held)
        for subject in about.above(self.snapshot, least):
            rest.discard(subject.names)
            yield subject
        for names in rest:
            if (held := about.find(self.snapshot, names)) is not None:
                yield held

    def _late(self) -> Mapping[Names, str]:
        """Servers without the only reply of a check that judges each server by itself, and why."""
        check = self.check
        if check.about.depends_on != ITS_SERVER or len(check.needs) != 1 or check.folds:
            return {}
        return self.snapshot.lacking.by_server(check.needs[0])

    def _put(self, subject: Noun, held: Held | None) -> None:
        """Judge one noun and record the result."""
        try:
            doubt = self._found_or_clear(subject, held)
        except TooSoon as missing:
            doubt = _too_short(missing)
        except NotTold as missing:
            doubt = Doubt(str(missing), excused=True)
        except Missing as missing:
            doubt = Doubt(str(missing))
        except Exception as error:  # Only this noun is unknown.
            self.result.raised[self.check.code] = place(error)
            doubt = Doubt(f"the check raised {place(error)}")
        if doubt is not None:
            self._doubt(subject, doubt)

    def _doubt_sums(self) -> None:
        """The keys whose sum over all shards may be above the limit are unknown."""
        check, shards = self.check, self.snapshot.shards
        if check.code not in self.result.merged or not check.above:
            return
        limit = getattr(self.rule.loosest(), check.above)
        for fold in check.folds:
            for key, why, soon in shards.doubtful(self.snapshot, fold, limit):
                if Key(check.code, key) not in self.result.found:
                    self.result.unknown[Key(check.code, key)] = why
                    self.doubts.setdefault(soon, why)

    def _doubt(self, subject: Noun, doubt: Doubt) -> None:
        self.result.unknown[Key(self.check.code, subject.names)] = doubt.why
        self.doubts[doubt.excused] = doubt.why

    def _found_or_clear(self, subject: Noun, held: Held | None) -> Doubt | None:
        check, snapshot = self.check, self.snapshot
        force = self.rule.resolve(subject)
        if not force.enabled:
            if held is not None:
                self.result.gone[Key(check.code, subject.names)] = DISABLED
            return None
        is_open = held is not None and held.is_open
        now = finding = check.judge(subject, force.params)
        if held is not None and is_open:
            finding = _hold(force, subject, now, held.severity)
        if finding is None and held is None:
            return None
        if check.settle and snapshot.settling(subject, self.settle):
            return _SETTLING
        lacking = snapshot.lacks(subject, check.needs)
        key = Key(check.code, subject.names)
        if finding is not None:
            severity = force.severity_of(finding.severity)
            finding, evidence = _packed(finding, subject)
            torn = snapshot.torn and subject.depends_on == ALL_SERVERS
            self.result.found[key] = Found(
                check,
                subject,
                finding,
                severity,
                lacking,
                evidence,
                torn,
                eased=now is None,
                merged=check.code in self.result.merged,
            )
            return None
        if lacking and not _clear_at_most(force, subject):
            return Doubt(lacking)
        if is_open:
            self._last_word(force, subject, key)
        return None

    def _last_word(self, force: InForce, subject: Noun, key: Key) -> None:
        """The figure of a finding that is clear, for the advisory that it resolved."""
        try:
            finding = self.check.judge(subject, self.check.unlimited(force.params))
        except Missing:
            return
        if finding is not None:
            self.result.last_word[key] = _packed(finding, subject)

    def _vanished(self, names: Names) -> None:
        """The noun is gone only if no reply that could contain it is missing."""
        check, held, key = self.check, self.held[names], Key(self.check.code, names)
        if held.is_common:
            if lacking := self.doubts.get(False) or self.snapshot.lacking.of_system(check.needs):
                self.result.unknown[key] = lacking
            return
        lacking = self.snapshot.lacks_for(check.about, names, held.home, held.rests_on, check.needs)
        if lacking:
            self.result.unknown[key] = lacking
        else:
            forgotten = held.rests_on in self.snapshot.forgotten
            self.result.gone[key] = "forgotten" if forgotten else "entity_gone"

    def _leave(self, why: str, *, excused: bool = False) -> None:
        """Record a check that cannot be judged at all."""
        code = self.check.code
        self.result.unknown.update({Key(code, names): why for names in self.held})
        self.result.outcomes[code] = Outcome(unknown=len(self.held), why=why, excused=excused)


def _too_short(missing: TooSoon) -> Doubt:
    """Whose past it is says nothing: mostly all are too short."""
    return Doubt(missing.needs, excused=True)


def _hold(force: InForce, subject: Noun, now: Finding | None, severity: Severity) -> Finding | None:
    """An open finding stays open, and keeps its severity, until below the eased limit."""
    if now is not None and force.severity_of(now.severity) >= severity:
        return now
    eased = force.check.judge(subject, force.check.eased(force.params))
    if eased is None:
        return now
    return replace(eased, severity=min(severity, force.severity_of(eased.severity)))


def _clear_at_most(force: InForce, subject: Noun) -> bool:
    """Whether it is clear even if each silent server still has its last known figures.

    Only the noun's own folds have such figures: False for a check that reads anything else.
    """
    check = force.check
    if not set(check.folds) <= set(subject.filled) or set(check.needs) - _endpoints(subject.filled):
        return False
    most = subject.at_most()
    return most is not None and check.judge(most, check.eased(force.params)) is None


def _endpoints(folds: Iterable[Fold]) -> set[str]:
    return {fold.endpoint for fold in folds}


def _packed(finding: Finding, subject: Noun) -> tuple[Finding, Raw]:
    """The finding with names for keys, and its evidence."""
    names = subject.snapshot.jwt_names
    if names.accounts or names.users:
        finding = replace(
            finding,
            summary=_in_names(finding.summary, subject),
            cleared=_in_names(finding.cleared, subject),
        )
    if not finding.evidence:
        return finding, NOTHING
    evidence = msgspec.json.encode(names.beside(finding.evidence))
    return replace(finding, evidence={}), Raw(evidence)


def _in_names(sentence: str, subject: Noun) -> str:
    """A sentence that calls an account and a user by the names of their JWTs, where known."""
    for label, key in subject.labels().items():
        with suppress(Missing):
            if name := subject.jwt_name(label):
                sentence = sentence.replace(key, name)
    return sentence
