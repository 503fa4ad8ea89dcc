"""What can be set of a check: limits and durations that know their side, choices, text, flags."""

from __future__ import annotations

import functools
import itertools
import math
import operator
import re
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from nats_insights.config import LARGEST, convert, refuse_unknown, refuse_word, span
from nats_insights.errors import ConfigError, DeclarationError
from nats_insights.facts import Names
from nats_insights.judge.finding import Finding, Severity

# A limit that no figure reaches, written "off": the default where only the configuration or the
# owner of an asset can know one. No figure falls below a limit that is off either: see `Params`.
OFF: Final[Any] = math.inf

When = Literal[">=", ">", "<=", "<"]
_REACHED = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_BOUNDS = ("ge", "gt", "le", "lt")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
# As jsm.go reads `io.nats.monitor.enabled`.
_FLAGS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)
_MOST_TEXT = 256
_CANNOT_BE_OFF = "this limit cannot be off; enabled = false switches the check off"
P = TypeVar("P", bound="Params")
# A limit as it is compared with millions of figures: its name, how it is reached, and the whole.
_Asked = tuple[str, Callable[[float, float], bool], "Parameter"]


def limit(
    unit: str,
    when: When = ">=",
    *,
    description: str = "",
    clear: float | None = None,
    severity: Severity | None = None,
    insights: float | None = None,
    metadata: str = "",
    **bounds: float,
) -> Meta:
    """Annotate a number with its unit, its side, its bounds (`ge gt le lt`) and `description`.

    when: how a figure reaches it: by `>=`, `>`, `<=` or `<` the limit.
    clear: an open finding stays open until this many times the limit, so that it does not flap:
        up to 1 where more is worse, 1 or more where less is worse.
    severity: that of a figure that reaches it, if a check has several limits.
    insights: the value in the profile "insights", where it is not the default.
    metadata: the key by which the owner of a stream or a consumer sets it.
    """
    return _limit("number", unit, when, description, clear, severity, insights, metadata, bounds)


def duration(
    when: When = ">=",
    *,
    description: str = "",
    clear: float | None = None,
    severity: Severity | None = None,
    insights: float | None = None,
    metadata: str = "",
    **bounds: float,
) -> Meta:
    """The same for seconds, which are written as "5m" in the configuration and in metadata."""
    return _limit("duration", "s", when, description, clear, severity, insights, metadata, bounds)


def choice(*words: str, description: str = "", insights: str | None = None) -> Meta:
    """Annotate a `str` that is one of a few words."""
    if len(words) < 2:
        raise DeclarationError("a choice needs two words or more")
    return _meta("choice", description, {"insights": insights, "choices": words})


def text(*, description: str = "", metadata: str = "", insights: str | None = None) -> Meta:
    """Annotate a `str` that is free text of at most 256 characters, such as a tag or a name."""
    told = {"insights": insights, "metadata": metadata}
    return _meta("text", description, told, {"max_length": _MOST_TEXT})


def flag(*, description: str = "", metadata: str = "", insights: bool | None = None) -> Meta:
    """Annotate a `bool`."""
    return _meta("flag", description, {"insights": insights, "metadata": metadata})


def _limit(
    kind: str,
    unit: str,
    when: str,
    description: str,
    clear: float | None,
    severity: Severity | None,
    insights: float | None,
    metadata: str,
    bounds: Mapping[str, float],
) -> Meta:
    if when not in _REACHED:
        raise DeclarationError(f"a limit is reached by >=, >, <= or <, not by {when!r}")
    if not bounds or bounds.keys() - set(_BOUNDS):
        raise DeclarationError(f"a limit in {unit!r} needs one or more of ge, gt, le, lt as bounds")
    if severity is not None and not isinstance(severity, Severity):
        raise DeclarationError(f"severity is INFO, WARNING or CRITICAL, not {severity!r}")
    below = when in ("<=", "<")
    if clear is not None and not (clear >= 1 if below else 0 < clear <= 1):
        side = "1 or more where less is worse" if below else "above 0 and up to 1"
        raise DeclarationError(f"clear={clear:g} of a limit by {when} is refused: it is {side}")
    told = {
        "unit": unit,
        "when": when,
        "clear": clear,
        "severity": severity,
        "insights": insights,
        "metadata": metadata,
    }
    return _meta(kind, description, told, bounds)


def _meta(
    kind: str, description: str, told: Mapping[str, Any], bounds: Mapping[str, Any] | None = None
) -> Meta:
    if not description:
        raise DeclarationError(f"a {kind} lacks its description")
    return Meta(**(bounds or {}), description=description, extra={"kind": kind, **told})


class Parameter(Struct, frozen=True, kw_only=True):
    """One parameter of a check, as its declaration has it."""

    name: str
    kind: Literal["number", "duration", "choice", "text", "flag"]
    default: Any
    description: str
    unit: str = ""
    when: Literal["", ">=", ">", "<=", "<"] = ""
    clear: float | None = None
    severity: Severity | None = None
    insights: Any = None
    metadata: str = ""
    choices: tuple[str, ...] = ()
    whole: bool = False
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @property
    def below(self) -> bool:
        """Whether less is worse."""
        return self.when in ("<=", "<")

    @property
    def off(self) -> float:
        """The value that no figure reaches."""
        return -OFF if self.below else OFF  # type: ignore[no-any-return]

    @property
    def can_be_off(self) -> bool:
        """Whether the check works without it: it is one of several, or set by an asset's owner."""
        is_one_of_several = self.severity is not None or bool(self.metadata)
        return bool(self.when) and (is_one_of_several or self.default == self.off)

    @property
    def loosest(self) -> Any:
        """The value within its bounds that most figures reach."""
        step = 1 if self.whole else 1e-9
        if self.below:
            ends = (self.le, None if self.lt is None else self.lt - step, LARGEST)
        else:
            ends = (self.ge, None if self.gt is None else self.gt + step, -LARGEST)
        return next(end for end in ends if end is not None)

    def looser(self, values: Iterable[Any]) -> Any:
        """Of several values the one that most figures reach."""
        return max(values) if self.below else min(values)

    def eased(self, value: Any) -> Any:
        """The limit below which, or above where less is worse, an open finding is clear."""
        if self.clear is None or math.isinf(value):
            return value
        eased = value * self.clear
        if not self.whole:
            return eased
        # The whole number that the same figures reach.
        up = self.when in (">=", "<")
        return math.ceil(round(eased, 9)) if up else math.floor(round(eased, 9))

    def shown(self, value: Any) -> str:
        """A value for a sentence, as written in the configuration."""
        if self.kind == "duration":
            return span(value)
        return f"{value:.10g}"

    def written(self, value: Any) -> Any:
        """A value as written in the configuration, except a duration, which is in seconds."""
        return "off" if self.when and math.isinf(value) else value


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parameters of every check, and the parameters of a check that has none."""

    def __post_init__(self) -> None:
        for parameter in parameters_of(type(self)):
            if parameter.below and getattr(self, parameter.name) == OFF:
                force_setattr(self, parameter.name, parameter.off)

    def reached(self, value: float, *names: str) -> Reached | None:
        """The worst limit that a figure reaches, None where it reaches none.

        names: the limits to compare with, by default those with a severity of their own, or the
            only limit if there are none.
        """
        worst = None
        for name, is_reached, parameter in _asked(type(self), names):
            bound = getattr(self, name)
            if not is_reached(value, bound):
                continue
            if worst is None or (parameter.severity or 0) >= (worst.severity or 0):
                worst = Reached(value, bound, parameter.unit, parameter.severity)
        return worst


class Reached(Struct, frozen=True):
    """A limit that was reached, by which `value`."""

    value: float
    threshold: float
    unit: str
    severity: Severity | None

    def finding(
        self,
        summary: str,
        /,
        *,
        servers: tuple[str, ...] = (),
        cleared: str = "",
        involves: tuple[Names, ...] = (),
        **evidence: Any,
    ) -> Finding:
        """The finding: its sentence, its other members, and the evidence by name."""
        return Finding(
            summary=summary,
            value=_short(self.value),
            threshold=self.threshold,
            unit=self.unit,
            severity=self.severity,
            servers=servers,
            cleared=cleared,
            involves=involves,
            evidence=evidence,
        )


def _short(value: float) -> float:
    """Rounded for reading: one decimal of a large figure, three digits of a small one."""
    if isinstance(value, int) or abs(value) >= 10:
        return round(value, 1)
    return float(f"{value:.3g}")


@functools.cache
def _asked(params: type[Params], names: tuple[str, ...]) -> list[_Asked]:
    limits = [parameter for parameter in parameters_of(params) if parameter.when]
    if names:
        by_name = {parameter.name: parameter for parameter in limits}
        asked = [by_name[name] for name in names]
    else:
        several = [parameter for parameter in limits if parameter.severity is not None]
        if not several and len(limits) != 1:
            raise DeclarationError(
                f"{params.__name__} has several limits: name those that are meant"
            )
        asked = several or limits
    return [(one.name, _REACHED[one.when], one) for one in asked]


@functools.cache
def parameters_of(params: type[Params]) -> list[Parameter]:
    """The parameters of a check, in the order of their declaration."""
    try:
        hints = typing.get_type_hints(params, include_extras=True)
    except Exception as error:
        raise DeclarationError(f"class {params.__name__}: {error}") from None
    return [_parameter(field, hints[field.name]) for field in msgspec.structs.fields(params)]


def _parameter(field: msgspec.structs.FieldInfo, hint: Any) -> Parameter:
    metas = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Meta)]
    if not metas or "kind" not in (metas[0].extra or {}):
        raise DeclarationError(
            f"parameter {field.name!r} is not annotated with limit(...), duration(...), "
            "choice(...), text(...) or flag(...)"
        )
    meta, own = metas[0], hint.__origin__
    told: dict[str, Any] = dict(meta.extra or {})
    types = {"number": (int, float), "duration": (int, float), "flag": (bool,)}
    if own not in types.get(told["kind"], (str,)):
        raise DeclarationError(f"parameter {field.name!r} is a {told['kind']}, not of type {own}")
    if field.default is msgspec.NODEFAULT:
        raise DeclarationError(f"parameter {field.name!r} has no default")
    bounds = {bound: getattr(meta, bound) for bound in _BOUNDS}
    parameter = Parameter(
        name=field.name,
        default=field.default,
        description=meta.description or "",
        whole=own is int,
        **told,
        **bounds,
    )
    if parameter.below and parameter.default == OFF:
        return msgspec.structs.replace(parameter, default=parameter.off)
    return parameter


def refuse_wrong_values(params: type[Params]) -> None:
    """DeclarationError for a default, or a value of a profile, that the parameter may not have."""
    for parameter in parameters_of(params):
        for value in (parameter.default, parameter.insights):
            if value is None or (parameter.when and value in (OFF, -OFF)):
                continue
            try:
                values({parameter.name: value}, params, "")
            except ConfigError as refused:
                raise DeclarationError(f"the value {value!r} of {refused}") from None
    profile = {one.name: one.insights for one in parameters_of(params) if one.insights is not None}
    for made in (params(), params(**profile)):
        for mild, severe in crossed(made):
            raise DeclarationError(f"a figure reaches {severe.name} before {mild.name}")


def values(raw: Mapping[str, Any], params: type[Params], path: str) -> dict[str, Any]:
    """The values of a configuration table, converted; ConfigError with the path of a wrong one.

    A duration is text such as "5m", and a limit that can be off may be "off".
    """
    by_name = {parameter.name: parameter for parameter in parameters_of(params)}
    off: dict[str, Any] = {}
    for key, value in raw.items():
        refuse_unknown(key, by_name, path)
        where = f"{path}.{key}".lstrip(".")
        if value == "off" and by_name[key].can_be_off:
            off[key] = by_name[key].off
        elif value == "off" and by_name[key].when:
            raise ConfigError(f"{where} is refused: {_CANNOT_BE_OFF}")
        elif isinstance(value, str) and by_name[key].kind == "number" and by_name[key].can_be_off:
            raise ConfigError(f'{where} is refused: {value[:80]!r} is neither a number nor "off"')
        elif by_name[key].choices and isinstance(value, str):
            refuse_word(value, by_name[key].choices, where)
    rest = {key: value for key, value in raw.items() if key not in off}
    made = convert(rest, params, path)
    return off | {key: getattr(made, key) for key in rest}


@functools.cache
def _in_order(params: type[Params]) -> list[tuple[Parameter, Parameter]]:
    """Limits of one figure, the milder first. Only the severity differs in their names."""
    figures = defaultdict(list)
    for one in parameters_of(params):
        if one.severity is not None:
            figures[one.name.replace(str(one.severity), "")].append(one)
    by_severity = (sorted(limits, key=lambda one: one.severity or 0) for limits in figures.values())
    return [pair for limits in by_severity for pair in itertools.combinations(limits, 2)]


def crossed(params: Params) -> list[tuple[Parameter, Parameter]]:
    """Limits, the milder first, of which figures reach the more severe one first."""
    wrong = []
    for mild, severe in _in_order(type(params)):
        first, last = getattr(params, mild.name), getattr(params, severe.name)
        if math.isinf(first) or math.isinf(last):
            continue
        if first < last if mild.below else first > last:
            wrong.append((mild, severe))
    return wrong


def owned(parameter: Parameter, params: type[Params], written: str) -> Any:
    """The value in the metadata of an asset; ConfigError if it cannot be read."""
    raw: Any = written
    if parameter.kind == "number" and _NUMBER.fullmatch(written):
        raw = float(written) if "." in written else int(written)
        if raw <= 0 and parameter.can_be_off and not _allowed(parameter, raw):
            return parameter.off  # As jsm.go reads it.
    elif parameter.kind == "duration" and _NUMBER.fullmatch(written):
        raise ConfigError(f"{written} has no unit, such as s")  # As for jsm.go.
    elif parameter.kind == "flag":
        raw = is_true(written)
    return values({parameter.name: raw}, params, "")[parameter.name]


def is_true(written: str) -> bool | None:
    """A flag in metadata, in any spelling that jsm.go accepts; None for any other text."""
    return _FLAGS.get(written)


def _allowed(parameter: Parameter, value: float) -> bool:
    if parameter.ge is not None:
        return value >= parameter.ge
    return parameter.gt is None or value > parameter.gt


def loosest(several: Iterable[P]) -> P:
    """The loosest of each limit in force anywhere, of several parameters of one kind.

    What the owners of assets may set is not known: it counts as the loosest possible value.
    """
    all_of_them = list(several)
    first = all_of_them[0]
    changed = {}
    for parameter in parameters_of(type(first)):
        if not parameter.when:
            continue
        looser = parameter.looser(getattr(one, parameter.name) for one in all_of_them)
        changed[parameter.name] = parameter.loosest if parameter.metadata else looser
    return msgspec.structs.replace(first, **changed)


def eased(params: P) -> P:
    """The eased limits: an open finding is clear when it reaches none of them."""
    changed = {
        parameter.name: parameter.eased(getattr(params, parameter.name))
        for parameter in parameters_of(type(params))
        if parameter.clear is not None
    }
    return msgspec.structs.replace(params, **changed) if changed else params


def unlimited(params: P) -> P:
    """Each limit at its loosest, so that a check returns its figure even if all is well.

    A limit that is off stays off: no figure reaches it.
    """
    changed = {
        parameter.name: parameter.loosest
        for parameter in parameters_of(type(params))
        if parameter.when and not math.isinf(getattr(params, parameter.name))
    }
    return msgspec.structs.replace(params, **changed)


def all_off(params: Params) -> bool:
    """Whether a check has limits, and none of them can be reached."""
    limits = [one for one in parameters_of(type(params)) if one.when]
    return bool(limits) and all(math.isinf(getattr(params, one.name)) for one in limits)
