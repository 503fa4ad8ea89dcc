"""Rules: by which parameters each check judges each noun, from defaults, file and overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from nats_insights.config import Config, convert, refuse_unknown, refuse_word
from nats_insights.errors import ConfigError
from nats_insights.judge.declare import Check, Params, Severity, parameters_of
from nats_insights.model.nouns.noun import Noun
from nats_insights.subjects import MONITORING

LABELS = ("account", "cluster", "server", "user")
_SEVERITIES = {str(severity): severity for severity in Severity}


class Judging(Struct, frozen=True, kw_only=True):
    """What can be set of every check beside its own parameters."""

    enabled: Annotated[bool, Meta(description="whether it runs")] = True
    severity: Annotated[str, Meta(description="critical, warning or info, instead of its own")] = ""
    open_after: Annotated[
        int, Meta(ge=1, description="evaluations in a row until a finding opens")
    ] = 0
    resolve_after: Annotated[
        int, Meta(ge=1, description="evaluations in a row until a finding resolves")
    ] = 0


class Rule(Struct, frozen=True, kw_only=True, eq=False):
    """One enabled check with everything that was set for it."""

    check: Check
    params: Params
    severity: Severity | None
    open_after: int
    resolve_after: int
    # A sum that may count twice what moved meanwhile has to be found as often as this.
    open_after_torn: int = 2
    configured: frozenset[str]
    overrides: tuple[tuple[dict[str, str], dict[str, Any]], ...]

    def resolve(self, subject: Noun) -> Params:
        """The parameters for one noun: of the overrides that match it the later ones win."""
        if not self.overrides:
            return self.params
        labels = subject.labels()
        changed: dict[str, Any] = {}
        for match, values in self.overrides:
            if all(labels[label] == name for label, name in match.items()):
                changed |= values
        return msgspec.structs.replace(self.params, **changed) if changed else self.params

    def loosest(self) -> Params:
        """The lowest of each limit in force anywhere, eased: what may safely be dropped."""
        low = {}
        for parameter in parameters_of(self.check.params):
            name, own = parameter.name, getattr(self.params, parameter.name)
            low[name] = min([own, *(values.get(name, own) for _, values in self.overrides)])
        return self.check.eased(msgspec.structs.replace(self.params, **low))

    def severity_of(self, own: Severity | None) -> Severity:
        """The configured severity, else the finding's own, else the check's."""
        return self.severity or own or self.check.severity


def rules(checks: Iterable[Check], config: Config) -> list[Rule]:
    """The enabled checks with their parameters; ConfigError for whatever does not fit."""
    by_name = {check.name: check for check in checks}
    for endpoint in config.access.without:
        refuse_word(endpoint, MONITORING, "access.without")
    for name in config.checks:
        refuse_unknown(name, by_name, "checks")
    overrides: dict[str, list[tuple[dict[str, str], dict[str, Any]]]] = {n: [] for n in by_name}
    for number, override in enumerate(config.override):
        for name, entry in _override(override, by_name, f"override[{number}]").items():
            overrides[name].append(entry)
    made = (
        _rule(check, config.checks.get(check.name, {}), overrides[check.name])
        for check in by_name.values()
    )
    return [rule for rule in made if rule is not None]


def _rule(
    check: Check,
    raw: Mapping[str, Any],
    overrides: list[tuple[dict[str, str], dict[str, Any]]],
) -> Rule | None:
    path = f"checks.{check.name}"
    own = {parameter.name for parameter in parameters_of(check.params)}
    general = set(Judging.__struct_fields__)
    for key in raw:
        refuse_unknown(key, own | general, path)
    params = convert({k: v for k, v in raw.items() if k in own}, check.params, path)
    judging = convert({k: v for k, v in raw.items() if k in general}, Judging, path)
    if judging.severity:
        refuse_word(judging.severity, _SEVERITIES, f"{path}.severity")
    if not judging.enabled:
        return None
    return Rule(
        check=check,
        params=params,
        severity=_SEVERITIES.get(judging.severity),
        open_after=judging.open_after or check.open_after,
        resolve_after=judging.resolve_after or check.resolve_after,
        configured=frozenset(raw),
        overrides=tuple(overrides),
    )


def _override(
    raw: Mapping[str, Any], by_name: Mapping[str, Check], path: str
) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    match = raw.get("match")
    if not isinstance(match, dict) or not match:
        raise ConfigError(f'{path} lacks its match, such as match = {{ cluster = "EU" }}')
    for label, name in match.items():
        refuse_unknown(label, LABELS, f"{path}.match")
        if not isinstance(name, str):
            raise ConfigError(f"{path}.match.{label} is refused: expected a name in quotes")
    entries = {}
    for name, values in raw.items():
        if name == "match":
            continue
        refuse_unknown(name, [*by_name, "match"], path)
        check, where = by_name[name], f"{path}.{name}"
        for label in match.keys() - set(check.about.labelled):
            by = " and ".join(check.about.labelled) or "no label"
            raise ConfigError(
                f"{where} is refused: it is judged by {by}, so match.{label} can never be true"
            )
        if not isinstance(values, dict):
            raise ConfigError(f"{where} is refused: expected parameters, such as {{ ratio = 3.0 }}")
        params = convert(values, check.params, where)
        entries[name] = (match, {key: getattr(params, key) for key in values})
    return entries
