"""Rules: by which parameters each check judges each noun.

Later ones win: the defaults, the profile, the section of the check in the configuration, the
overrides that match the noun, and what the owner of a stream or a consumer wrote into its metadata.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import replace

from nats_insights import facts
from nats_insights.config import Config, convert, pattern, refuse_unknown, refuse_word
from nats_insights.errors import ConfigError
from nats_insights.judge.declare import Check
from nats_insights.judge.finding import SEVERITIES, Severity
from nats_insights.judge.limits import (
    Params,
    all_off,
    crossed,
    eased,
    is_true,
    loosest,
    owned,
    parameters_of,
    values,
)
from nats_insights.model.nouns.noun import Noun
from nats_insights.subjects import MONITORING

LABELS = (*facts.LABELS, "tag")
ENABLED = "io.nats.monitor.enabled"
# Combinations of label values and metadata whose result a rule keeps.
_MOST_KNOWN = 10_000


class Judging(Struct, frozen=True, kw_only=True):
    """The settings of every check beside its own parameters."""

    enabled: Annotated[bool, Meta(description="whether it runs")] = True
    severity: Annotated[str, Meta(description="critical, warning or info, instead of its own")] = ""
    open_after: Annotated[
        int, Meta(ge=1, description="evaluations in a row until a finding opens")
    ] = 0
    resolve_after: Annotated[
        int, Meta(ge=1, description="evaluations in a row until a finding resolves")
    ] = 0


class InForce(Struct, frozen=True, kw_only=True):
    """The parameters by which a check judges one noun, if it is enabled for it.

    `severity` is the configured one. `unreadable` has the invalid entries of the metadata of the
    noun, as "key = value": they have no effect.
    """

    check: Check
    params: Params
    severity: Severity | None = None
    enabled: bool = True
    unreadable: tuple[str, ...] = ()

    def severity_of(self, own: Severity | None) -> Severity:
        """The configured severity, else the finding's own, else the check's."""
        return self.severity or own or self.check.severity


class Override(Struct, frozen=True, kw_only=True):
    """The settings for the nouns that all its patterns match; `path` is its key in the file."""

    path: str
    match: Mapping[str, re.Pattern[str]]
    params: Mapping[str, Any]
    severity: Severity | None = None
    enabled: bool | None = None

    def matches(self, told: Mapping[str, str], tags: Iterable[str], subject: Noun) -> bool:
        """Whether it matches a noun with these labels and tags; accounts and users by key or name.

        Missing if that depends on the name of a user that was not read yet.
        """
        return all(
            any(map(pattern.fullmatch, tags))
            if label == "tag"
            else pattern.fullmatch(told.get(label, ""))
            or ((name := subject.jwt_name(label)) and pattern.fullmatch(name))
            for label, pattern in self.match.items()
        )


class Rule(Struct, frozen=True, kw_only=True, eq=False):
    """One check that is enabled somewhere, with everything that was set for it.

    `configured` are the keys that its section of the configuration sets, `profiled` the parameters
    that the profile does.
    """

    check: Check
    params: Params
    severity: Severity | None = None
    enabled: bool = True
    open_after: int
    resolve_after: int
    # A sum that may count moved clients twice must be found this many times.
    open_after_torn: int = 2
    configured: frozenset[str] = frozenset()
    profiled: frozenset[str] = frozenset()
    overrides: tuple[Override, ...] = ()
    # The labels and metadata that decide: nothing else of a noun changes the result.
    labels: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    known: dict[Any, InForce] = {}
    # The only label that decides, if nothing else does.
    only: str = ""

    def resolve(self, subject: Noun) -> InForce:
        """What is in force for one noun; Missing if an override matches tags that are unknown."""
        if self.only:  # As for most overrides: this is called for every noun in every epoch.
            known = self.known.get(subject.labels().get(self.only))
            if known is not None:
                return known
        if not self.varies:
            return self.everywhere()
        labels = subject.labels() if self.labels else {}
        tags = tuple(subject.tags) if "tag" in self.labels else ()
        metadata = subject.metadata if self.metadata else {}
        key: Any = (
            tags,
            tuple([labels.get(label, "") for label in self.labels]),
            tuple([metadata.get(name) for name in self.metadata]),
        )
        if self.only:
            key = labels.get(self.only)
        known = self.known.get(key)
        if known is None:
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            known = self.known[key] = self._in_force(subject, labels, tags, metadata)
        return known

    @property
    def varies(self) -> bool:
        """Whether parameters differ between nouns."""
        return bool(self.labels or self.metadata)

    def everywhere(self) -> InForce:
        """What is in force without overrides and without settings of owners."""
        known = self.known.get(())
        if known is None:
            known = self.known[()] = self._made(self.params, self.severity, self.enabled)
        return known

    def _made(
        self,
        params: Params,
        severity: Severity | None,
        enabled: bool,
        unreadable: tuple[str, ...] = (),
    ) -> InForce:
        return InForce(
            check=self.check,
            params=params,
            severity=severity,
            enabled=enabled and not all_off(params),
            unreadable=unreadable,
        )

    def _in_force(
        self,
        subject: Noun,
        labels: Mapping[str, str],
        tags: Sequence[str],
        metadata: Mapping[str, str],
    ) -> InForce:
        matching = [one for one in self.overrides if one.matches(labels, tags, subject)]
        if not matching and not metadata:
            return self.everywhere()
        changed: dict[str, Any] = {}
        severity, enabled = self.severity, self.enabled
        for override in matching:
            changed |= override.params
            severity = override.severity or severity
            enabled = enabled if override.enabled is None else override.enabled
        params = replace(self.params, **changed) if changed else self.params
        own, unreadable = _owned(params, metadata)
        if is_true(metadata.get(ENABLED, "")) is False:
            enabled = False
        params = replace(params, **own) if own else params
        return self._made(params, severity, enabled, unreadable)

    def loosest(self) -> Params:
        """The loosest of each limit in force anywhere, eased: what may safely be dropped."""
        anywhere = [replace(self.params, **override.params) for override in self.overrides]
        return eased(loosest([self.params, *anywhere]))


def _owned(params: Params, metadata: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The owner's settings: none unless the metadata has them enabled, as for jsm.go."""
    told = metadata.get(ENABLED)
    if told is None or not is_true(told):
        unreadable = told is not None and is_true(told) is None
        return {}, (f"{ENABLED} = {told}",) if unreadable else ()
    own: dict[str, Any] = {}
    wrong = []
    for parameter in parameters_of(type(params)):
        if parameter.metadata in metadata:
            written = metadata[parameter.metadata]
            try:
                own[parameter.name] = owned(parameter, type(params), written)
            except ConfigError:
                wrong.append(parameter)
    for pair in crossed(replace(params, **own)):
        wrong += [one for one in pair if own.pop(one.name, None) is not None]
    return own, tuple([f"{one.metadata} = {metadata[one.metadata][:80]}" for one in wrong])


def rules(checks: Iterable[Check], config: Config) -> list[Rule]:
    """The checks that are enabled somewhere; ConfigError for any invalid setting."""
    by_name = {check.name: check for check in checks}
    for endpoint in config.access.without:
        refuse_word(endpoint, MONITORING, "access.without")
    sections = _by_name(config.checks, by_name, "checks")
    overrides: dict[str, list[Override]] = {name: [] for name in by_name}
    for number, table in enumerate(config.override):
        for name, override in _overrides(table, by_name, f"override[{number}]").items():
            overrides[name].append(override)
    made = (
        _rule(check, sections.get(check.name), overrides[check.name], config.profile)
        for check in by_name.values()
    )
    return [rule for rule in made if rule is not None]


class Table(NamedTuple):
    """What the file sets for one check in one place, and the path of that place."""

    path: str
    raw: Any


def _by_name(
    tables: Mapping[str, Any], checks: Mapping[str, Check], path: str, *others: str
) -> dict[str, Table]:
    """The tables of checks by their names; in the file the key is the name or the code."""
    known = {key: check for check in checks.values() for key in (check.name, check.code)}
    found: dict[str, Table] = {}
    for key, raw in tables.items():
        refuse_unknown(key, {*known, *others}, path, "`nats-insights checks` lists the checks")
        name = known[key].name
        if name in found:
            raise ConfigError(f"{path}.{key} is refused: {found[name].path} is the same check")
        found[name] = Table(f"{path}.{key}", raw)
    return found


def _rule(
    check: Check, table: Table | None, overrides: Sequence[Override], profile: str
) -> Rule | None:
    path, raw = table or Table(f"checks.{check.name}", {})
    parameters = parameters_of(check.params)
    own, judging = _split(raw, check, path, Judging.__struct_fields__)
    enabled = judging.enabled
    profiled = {
        parameter.name: parameter.insights
        for parameter in parameters
        if profile == "insights" and parameter.insights is not None
    }
    params = replace(check.params(**profiled), **own)
    origins = dict.fromkeys(profiled, "in the profile insights") | dict.fromkeys(
        own, f"in [{path}]"
    )
    _refuse_crossed(params, own, path, origins)
    for override in overrides:
        elsewhere = {key for one in overrides if one is not override for key in one.params}
        _refuse_crossed(
            replace(params, **override.params), override.params, override.path, origins, elsewhere
        )
    if not enabled and not any(override.enabled for override in overrides):
        return None
    labels = sorted({label for override in overrides for label in override.match})
    metadata = [parameter.metadata for parameter in parameters if parameter.metadata]
    alone = len(labels) == 1 and labels != ["tag"] and not metadata
    return Rule(
        check=check,
        params=params,
        severity=SEVERITIES.get(judging.severity),
        enabled=enabled,
        open_after=judging.open_after or check.open_after,
        resolve_after=judging.resolve_after or check.resolve_after,
        configured=frozenset(raw),
        profiled=frozenset(profiled) - frozenset(raw),
        overrides=tuple(overrides),
        labels=tuple(labels),
        metadata=(ENABLED, *metadata) if metadata else (),
        only=labels[0] if alone else "",
    )


def _split(
    raw: Mapping[str, Any], check: Check, path: str, general: Sequence[str]
) -> tuple[dict[str, Any], Judging]:
    """The parameters in a table, and its settings that every check has."""
    own = {parameter.name for parameter in parameters_of(check.params)}
    for key in raw:
        refuse_unknown(key, {*own, *general}, path)
    judging = convert({k: v for k, v in raw.items() if k not in own}, Judging, path)
    if judging.severity:
        refuse_word(judging.severity, SEVERITIES, f"{path}.severity")
    return values({k: v for k, v in raw.items() if k in own}, check.params, path), judging


def _refuse_crossed(
    params: Params,
    here: Mapping[str, Any],
    path: str,
    origins: Mapping[str, str],
    elsewhere: Collection[str] = (),
) -> None:
    """ConfigError if a warning needs more than what is critical, where one of them is set `here`.

    A limit that is also set `elsewhere`, in another override, may have another value there.
    """
    for mild, severe in crossed(params):
        mine, other = (mild, severe) if mild.name in here else (severe, mild)
        if mine.name not in here or (other.name not in here and other.name in elsewhere):
            continue
        side = "below" if mild.below == (mine is mild) else "above"
        value, limit = (one.shown(getattr(params, one.name)) for one in (mine, other))
        origin = "" if other.name in here else origins.get(other.name, "by default")
        which = f"{other.name}, which is {limit} {origin}".rstrip()
        raise ConfigError(f"{path}.{mine.name} is refused: {value} is {side} {which}")


def _overrides(
    table: Mapping[str, Any], by_name: Mapping[str, Check], path: str
) -> dict[str, Override]:
    match = table.get("match")
    if not isinstance(match, dict) or not match:
        raise ConfigError(f'{path} lacks its match, such as match = {{ cluster = "EU" }}')
    patterns = {}
    # Users come last: their names are known last.
    for label, glob in sorted(match.items(), key=lambda item: item[0] == "user"):
        refuse_unknown(label, LABELS, f"{path}.match")
        patterns[label] = pattern(glob, f"{path}.match.{label}")
    made = {}
    rest = {key: raw for key, raw in table.items() if key != "match"}
    for name, (where, raw) in _by_name(rest, by_name, path).items():
        check = by_name[name]
        _refuse_labels(check, match, where)
        if not isinstance(raw, dict) or not raw:
            raise ConfigError(f"{where} is refused: it is a table such as {{ ratio = 3.0 }}")
        for key in ("open_after", "resolve_after"):
            if key in raw:
                raise ConfigError(f"{where}.{key} is refused: it is set in [checks.{name}]")
        own, judging = _split(raw, check, where, ("enabled", "severity"))
        made[name] = Override(
            path=where,
            match=patterns,
            params=own,
            severity=SEVERITIES.get(judging.severity),
            enabled=judging.enabled if "enabled" in raw else None,
        )
    if not made:
        example = "connection_hotspot = { ratio = 3.0 }"
        raise ConfigError(f"{path} sets nothing: name a check, such as {example}")
    return made


def _refuse_labels(check: Check, match: Mapping[str, Any], where: str) -> None:
    for label in match:
        if label == "tag" and check.about.tags is not Noun.tags:
            continue
        if label not in check.about.labelled:
            by = " and ".join(check.about.labelled) or "no label"
            raise ConfigError(
                f"{where} is refused: it is judged by {by}, so match.{label} can never be true"
            )
