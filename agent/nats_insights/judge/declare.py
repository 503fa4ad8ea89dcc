"""What a check is: one idea of what can be wrong with one kind of noun, and how it is declared."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Literal

import msgspec
from msgspec import Meta, Struct

from nats_insights.errors import DeclarationError
from nats_insights.judge.finding import CRITICAL, INFO, WARNING, Finding, Severity
from nats_insights.model.fold import Fold
from nats_insights.model.history import Past
from nats_insights.model.nouns.noun import Noun
from nats_insights.replies.connz import CONNZ
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.varz import VARZ

__all__ = [
    "CRITICAL",
    "INFO",
    "WARNING",
    "Check",
    "Finding",
    "Params",
    "Severity",
    "check",
    "discover",
    "limit",
    "parameters_of",
]

Category = Literal["health", "performance", "consistency", "saturation", "errors", "change"]
_CODE = re.compile(r"[A-Z]+(_[A-Z]+)*_\d{3}")
_PARAGRAPHS = ("Finds", "Why", "Do")


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parameters of every check."""


def limit(unit: str, *, clear: float | None = None, **bounds: Any) -> Meta:
    """Annotate a parameter with its unit, bounds (`ge gt le lt`) and `description`.

    With `clear` it is a threshold that eases: what is open stays open until `clear` times it.
    """
    if not bounds.get("description") or not bounds.keys() & {"ge", "gt", "le", "lt"}:
        raise DeclarationError(f"a parameter in {unit!r} lacks its description or its bounds")
    return Meta(**bounds, extra={"unit": unit, "clear": clear})


Judge = Callable[[Any, Any], Finding | None]
RulesOut = Callable[[Any, Any], bool]


class Check(Struct, frozen=True, kw_only=True, eq=False):
    """A declared check. Made by the decorator, never by hand."""

    code: str
    name: str
    severity: Severity
    category: Category
    about: type[Noun]
    params: type[Params]
    needs: tuple[str, ...]
    endpoints: tuple[Endpoint[Any], ...]
    folds: tuple[Fold, ...]
    pasts: tuple[Past[Any], ...]
    judge: Judge
    rules_out: RulesOut | None
    title: str
    finds: str
    why: str
    do: str
    explain: Literal["", "connections", "subscriptions"]
    open_after: int
    resolve_after: int
    settle: bool
    news: bool
    clear: dict[str, float]
    above: str = ""
    explains: bool = False
    common: bool = False

    def eased(self, params: Params) -> Params:
        """The limits by which an open finding is held open."""
        if not self.clear:
            return params
        eased = {name: getattr(params, name) * factor for name, factor in self.clear.items()}
        return msgspec.structs.replace(params, **eased)

    def unlimited(self, params: Params) -> Params:
        """Every limit at its lowest, by which a check tells its figure though all is well."""
        lowest = {parameter.name: parameter.lowest for parameter in parameters_of(self.params)}
        return msgspec.structs.replace(params, **lowest)

    def fingerprint(self, kind: str, names: Iterable[str]) -> str:
        """32 hex characters that stay for as long as the entity keeps its names."""
        identity = msgspec.json.encode([self.code, kind, *names])
        return hashlib.sha256(identity).hexdigest()[:32]

    def remediation(self, labels: dict[str, str]) -> str:
        """What to do, with the names of the entity filled in."""
        return re.sub(r"\{(\w+)\}", lambda hit: labels.get(hit[1]) or f"the {hit[1]}", self.do)


class Parameter(Struct, frozen=True, kw_only=True):
    """One parameter of a check, as its declaration has it."""

    name: str
    default: Any
    unit: str
    description: str
    clear: float | None
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @property
    def lowest(self) -> float:
        """The lowest value within its bounds."""
        if self.ge is not None:
            return self.ge
        return (self.gt or 0) + 1e-9


@functools.cache
def parameters_of(params: type[Params]) -> list[Parameter]:
    """The parameters of a check, in the order of their declaration."""
    hints = typing.get_type_hints(params, include_extras=True)
    return [_parameter(field, hints[field.name]) for field in msgspec.structs.fields(params)]


def _parameter(field: msgspec.structs.FieldInfo, hint: Any) -> Parameter:
    metas = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Meta)]
    if not metas or not metas[0].extra:
        raise DeclarationError(f"parameter {field.name!r} is not annotated with limit(...)")
    meta, extra = metas[0], metas[0].extra or {}
    bounds = {bound: getattr(meta, bound) for bound in ("ge", "gt", "le", "lt")}
    return Parameter(
        name=field.name,
        default=field.default,
        unit=extra["unit"],
        description=meta.description or "",
        clear=extra["clear"],
        **bounds,
    )


def check(
    code: str,
    severity: Severity,
    category: Category,
    *,
    needs: Sequence[Endpoint[Any] | Fold | Past[Any]],
    explain: Literal["", "connections", "subscriptions"] = "",
    open_after: int = 1,
    resolve_after: int = 2,
    settle: bool = False,
    news: bool = True,
    rules_out: RulesOut | None = None,
    above: str = "",
    explains: bool = False,
    common: bool = False,
) -> Callable[[Judge], Check]:
    """Declare a check: a function `(noun, params) -> Finding or None`.

    The annotations of the two arguments say what it is about and what can be set; the docstring is
    its documentation: a title, then the paragraphs `Finds:`, `Why:` and `Do:`.

    needs: what it reads, without which it is unknown: endpoints, folds, and figures of the past.
    explain: by what to rank the clients that the evidence names, "" for no names.
    open_after, resolve_after: evaluations in a row until it opens or resolves.
    settle: whether it waits after a server of the cluster came or went.
    news: whether a figure that moved is worth an update; a time or a count that grows for as long
        as the condition lasts is not.
    rules_out: `(cluster, params) -> bool`, the System for a noun of the whole system: whether small
        replies and last sweeps show that it can find nothing, so that no sweep is needed for it.
        `params` are the loosest in force anywhere.
    above: the parameter that the main figure of a noun must exceed for the check to find anything;
        nouns of which there may be a million are then picked by it before they are made.
    explains: whether a finding of it explains those of other checks that involve its noun.
    common: whether many findings of it at once have one cause, so that one finding says so.
    """

    def declare(judge: Judge) -> Check:
        hints = typing.get_type_hints(judge)
        arguments = list(inspect.signature(judge).parameters)
        about, params = (hints[name] for name in arguments)
        folds = tuple(need for need in needs if isinstance(need, Fold))
        pasts = tuple(need for need in needs if isinstance(need, Past))
        endpoints = dict.fromkeys(need for need in needs if isinstance(need, Endpoint))
        if folds:
            endpoints[CONNZ] = None
        if settle:
            endpoints[VARZ] = None
        _refuse(code, about, needs)
        title, finds, why, do = _document(judge)
        return Check(
            code=code,
            name=judge.__name__,
            severity=severity,
            category=category,
            about=about,
            params=params,
            needs=tuple(endpoint.key for endpoint in endpoints),
            endpoints=tuple(endpoints),
            folds=folds,
            pasts=pasts,
            judge=judge,
            rules_out=rules_out,
            title=title,
            finds=finds,
            why=why,
            do=do,
            explain=explain,
            open_after=open_after,
            resolve_after=resolve_after,
            settle=settle,
            news=news,
            above=above,
            explains=explains,
            common=common,
            clear={p.name: p.clear for p in parameters_of(params) if p.clear is not None},
        )

    return declare


def _refuse(code: str, about: Any, needs: Iterable[object]) -> None:
    if not _CODE.fullmatch(code):
        raise DeclarationError(f"{code!r} is not a code such as OPT_BALANCE_002")
    if not (isinstance(about, type) and issubclass(about, Noun)):
        raise DeclarationError(f"{code}: the first argument must be annotated with a noun")
    for need in needs:
        if not isinstance(need, Endpoint | Fold | Past):
            raise DeclarationError(
                f"{code}: needs has {need!r}, which is no endpoint, fold or past figure"
            )


def _document(judge: Judge) -> tuple[str, str, str, str]:
    title, *paragraphs = re.split(r"\n\s*\n", inspect.getdoc(judge) or "")
    text = " ".join(" ".join(paragraphs).split())
    split = re.split(rf"\b({'|'.join(_PARAGRAPHS)}): ", text)
    told = dict(zip(split[1::2], (part.strip() for part in split[2::2]), strict=True))
    for heading in _PARAGRAPHS:
        if not told.get(heading):
            name = getattr(judge, "__name__", "?")
            raise DeclarationError(f"{name}: its docstring lacks the paragraph {heading!r}")
    finds, why, do = (told[heading][0].upper() + told[heading][1:] for heading in _PARAGRAPHS)
    return " ".join(title.split()).rstrip("."), finds, why, do


def discover(*packages: ModuleType) -> list[Check]:
    """Every check of some packages, by code; DeclarationError where two share code or name."""
    found: dict[str, Check] = {}
    names: set[str] = set()
    modules = (
        module
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    )
    for module in modules:
        for value in vars(importlib.import_module(module.name)).values():
            if not isinstance(value, Check) or found.get(value.code) is value:
                continue
            if value.code in found or value.name in names:
                raise DeclarationError(f"{value.code} {value.name} is declared twice")
            found[value.code] = value
            names.add(value.name)
    return [found[code] for code in sorted(found)]
