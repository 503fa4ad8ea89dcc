"""What a check is: one idea of what can be wrong with one kind of noun, and how it is declared."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import pkgutil
import re
import traceback
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, Literal

import msgspec
from msgspec import Struct

from nats_insights.errors import DeclarationError
from nats_insights.judge.finding import (
    CRITICAL,
    INFO,
    SEVERITIES,
    WARNING,
    Finding,
    Severity,
)
from nats_insights.judge.limits import (
    OFF,
    Params,
    choice,
    duration,
    eased,
    flag,
    limit,
    parameters_of,
    refuse_wrong_values,
    text,
    unlimited,
)
from nats_insights.model.fold import SURVEY, Fold
from nats_insights.model.nouns.noun import Noun
from nats_insights.model.past import Past
from nats_insights.model.worst import Worst
from nats_insights.replies.connz import CONNZ, SORTS
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.varz import VARZ
from nats_insights.text import nearest

__all__ = [
    "CRITICAL",
    "INFO",
    "OFF",
    "SEVERITIES",
    "WARNING",
    "Check",
    "Finding",
    "Params",
    "Severity",
    "check",
    "choice",
    "discover",
    "duration",
    "flag",
    "limit",
    "parameters_of",
    "text",
]

Category = Literal["health", "performance", "consistency", "saturation", "errors", "change"]
Need = Endpoint[Any] | Fold | Past[Any] | Worst
# Rankings of clients: by their number, or by a figure by which servers sort connections.
RANKINGS = ("connections", *SORTS)
_CODE = re.compile(r"[A-Z]+(_[A-Z]+)*_\d{3}")
_PARAGRAPHS = ("Finds", "Why", "Do")
# These may be left out: why the defaults are what they are, and how the check compares with the one
# of the same code in the public catalogue.
_REMARKS = ("Default", "Catalogue")
# A title is the condition that is found, such as "A server does not answer".
_TITLE = re.compile(r"[A-Z][^.!?{}]{4,79}")
_ORDERS = {"Avoid", "Check", "Detects", "Ensure", "Find", "Finds", "Use"}

Judge = Callable[..., Finding | None]
RulesOut = Callable[[Any, Any], bool]


class Check(Struct, frozen=True, kw_only=True, eq=False):
    """A declared check, made only by the decorator."""

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
    worst: tuple[Worst, ...]
    judge: Judge
    rules_out: RulesOut | None
    title: str
    finds: str
    why: str
    do: str
    default: str
    catalogue: str
    clients: str
    open_after: int
    resolve_after: int
    settle: bool
    news: bool
    above: str = ""
    explains: bool = False
    common: bool = False

    def eased(self, params: Params) -> Params:
        """The eased limits: an open finding is clear when it reaches none of them."""
        return eased(params)

    def unlimited(self, params: Params) -> Params:
        """Every limit at its loosest, so that a check returns its figure even if all is well."""
        return unlimited(params)

    def fingerprint(self, kind: str, names: Iterable[str]) -> str:
        """32 hex characters, stable as long as the entity keeps its names."""
        identity = msgspec.json.encode([self.code, kind, *names])
        return hashlib.sha256(identity).hexdigest()[:32]

    def remediation(self, labels: dict[str, str]) -> str:
        """What to do, with the names of the entity filled in."""
        return re.sub(r"\{(\w+)\}", lambda hit: labels.get(hit[1]) or f"the {hit[1]}", self.do)


def check(
    code: str,
    severity: Severity,
    category: Category,
    *,
    needs: Sequence[Need],
    clients: str = "",
    open_after: int = 1,
    resolve_after: int = 2,
    settle: bool = False,
    news: bool = True,
    rules_out: RulesOut | None = None,
    above: str = "",
    explains: bool = False,
    common: bool = False,
) -> Callable[[Judge], Check]:
    """Declare a check: a function `(noun, params) -> Finding or None`, or `(noun)` without any.

    The annotations of the arguments say what it is about and what can be set; the docstring is its
    documentation: a title, then the paragraphs `Finds:`, `Why:` and `Do:`, and where they apply
    `Default:` and `Catalogue:`. DeclarationError for any mistake.

    needs: what it reads, else it is unknown: endpoints, folds, worst rows, and figures of the
        past.
    clients: by what to rank the clients that the evidence names, one of RANKINGS; "" for no names.
    open_after, resolve_after: evaluations in a row until it opens or resolves.
    settle: whether it waits after a server of the cluster joined or left.
    news: whether a changed figure is published as an update: not for a time or a count that
        grows as long as the condition lasts.
    rules_out: `(cluster, params) -> bool`, the System for a noun of the whole system: whether small
        replies and last sweeps show that it can find nothing, so that no sweep is needed for it.
        `params` are the loosest in force anywhere.
    above: the parameter that the main figure of a noun must exceed for the check to find anything;
        nouns of which there may be a million are then picked by it before they are made.
    explains: whether a finding of it explains those of other checks that involve its noun.
    common: whether many findings of it at once have one cause, so that one finding says so.
    """

    def declare(function: Judge) -> Check:
        name = getattr(function, "__name__", "?")
        try:
            _refuse_code(code)
            if not isinstance(severity, Severity):
                raise DeclarationError(f"severity is INFO, WARNING or CRITICAL, not {severity!r}")
            _refuse_word("category", category, typing.get_args(Category))
            _refuse_word("clients", clients, ("", *RANKINGS))
            flags = {"settle": settle, "news": news, "explains": explains, "common": common}
            _refuse_figures(open_after, resolve_after, **flags)
            judge, about, params = _signature(function)
            document = _document(function)
            _refuse_names(document["do"], about)
            if isinstance(needs, str | Endpoint | Fold | Past | Worst):
                raise DeclarationError(f"needs is a sequence, such as needs=({needs!r},)")
            folds = tuple(need for need in needs if isinstance(need, Fold))
            pasts = tuple(need for need in needs if isinstance(need, Past))
            worst = tuple(need for need in needs if isinstance(need, Worst))
            endpoints = dict.fromkeys(need for need in needs if isinstance(need, Endpoint))
            endpoints |= dict.fromkeys(one.endpoint for one in worst)
            endpoints |= {SURVEY if fold.slow else CONNZ: None for fold in folds}
            if settle:
                endpoints[VARZ] = None
            _refuse(needs)
            refuse_wrong_values(params)
            _refuse_unordered(params, (*folds, *worst), rules_out)
            _refuse_above(above, params)
        except DeclarationError as wrong:
            raise DeclarationError(f"{code} {name}: {wrong}") from None
        return Check(
            code=code,
            name=name,
            severity=severity,
            category=category,
            about=about,
            params=params,
            needs=tuple(endpoint.key for endpoint in endpoints),
            endpoints=tuple(endpoints),
            folds=folds,
            pasts=pasts,
            worst=worst,
            judge=judge,
            rules_out=rules_out,
            **document,
            clients=clients,
            open_after=open_after,
            resolve_after=resolve_after,
            settle=settle,
            news=news,
            above=above,
            explains=explains,
            common=common,
        )

    return declare


def _refuse_code(code: object) -> None:
    if not (isinstance(code, str) and _CODE.fullmatch(code)):
        raise DeclarationError("its code is not one such as OPT_BALANCE_002")


def _refuse_word(what: str, word: object, words: Sequence[str]) -> None:
    if word not in words:
        near = _meant(word, words) or f"it is one of {', '.join(filter(None, words))}"
        raise DeclarationError(f"there is no {what} {word!r}; {near}")


def _refuse_figures(open_after: object, resolve_after: object, **flags: object) -> None:
    for what, count in (("open_after", open_after), ("resolve_after", resolve_after)):
        if type(count) is not int or count < 1:
            raise DeclarationError(f"{what} is a number of evaluations from 1, not {count!r}")
    for what, told in flags.items():
        if type(told) is not bool:
            raise DeclarationError(f"{what} is True or False, not {told!r}")


def _signature(function: Judge) -> tuple[Judge, type[Noun], type[Params]]:
    """The function to call with a noun and parameters, and the types of both."""
    arguments = list(inspect.signature(function).parameters)
    try:
        hints = typing.get_type_hints(function)
    except Exception as error:
        raise DeclarationError(f"its annotations cannot be read: {error}") from None
    if not 1 <= len(arguments) <= 2:
        raise DeclarationError(
            f"it takes a noun and its parameters, not {len(arguments)} arguments"
        )
    about = hints.get(arguments[0])
    if not (isinstance(about, type) and issubclass(about, Noun) and about is not Noun):
        raise DeclarationError(f"{arguments[0]!r} must be annotated with a noun, such as Server")
    if len(arguments) == 1:
        return _without_parameters(function), about, Params
    params = hints.get(arguments[1])
    if not (isinstance(params, type) and issubclass(params, Params)):
        raise DeclarationError(f"{arguments[1]!r} must be annotated with a class made of Params")
    parameters_of(params)
    return function, about, params


def _without_parameters(function: Judge) -> Judge:
    @functools.wraps(function)
    def judge(noun: Noun, params: Params) -> Finding | None:
        return function(noun)

    return judge


def _refuse(needs: Iterable[object]) -> None:
    for need in needs:
        if not isinstance(need, Endpoint | Fold | Past | Worst):
            raise DeclarationError(
                f"needs has {need!r}, which is no endpoint, fold, worst rows or past figure"
            )


def _refuse_unordered(
    params: type[Params], needs: Iterable[Fold | Worst], rules_out: RulesOut | None
) -> None:
    """The loosest limits in force anywhere decide which rows are dropped, so these need an order.

    All checks of one fold must have the parameters that the fold reads.
    """
    reading = [(need, reads) for need in needs if (reads := parameters_read(need)) is not None]
    for need, reads in reading:
        if reads is not params:
            raise DeclarationError(
                f"the fold {need.name} reads parameters of {reads.__name__}, not of "
                f"{params.__name__}: give it a fold of its own"
            )
    if not reading and rules_out is None:
        return
    for parameter in parameters_of(params):
        if not parameter.when:
            reader = "its rules_out" if rules_out else f"the fold {reading[0][0].name}"
            raise DeclarationError(
                f"{reader} is called with the loosest parameters in force anywhere, but "
                f"{parameter.name!r} is no limit"
            )


def _refuse_above(above: object, params: type[Params]) -> None:
    limits = [one.name for one in parameters_of(params) if one.when in (">", ">=")]
    if above != "" and above not in limits:
        hint = _meant(above, limits) or "it is the name of a limit"
        raise DeclarationError(f"above={above!r} is refused: {hint}")


def parameters_read(need: Fold | Worst) -> type[Params] | None:
    """The parameters by which rows may be dropped, as the last argument is annotated."""
    function: Callable[..., object] = need.page if isinstance(need, Fold) else need.matters
    hints = typing.get_type_hints(function)
    (*_, last) = inspect.signature(function).parameters
    told = hints.get(last)
    return told if isinstance(told, type) and issubclass(told, Params) else None


def _meant(word: object, words: Iterable[str]) -> str:
    """ "did you mean X?", "" where no word is near."""
    near = nearest(str(word), words)
    return f"did you mean {near!r}?" if near else ""


def _document(function: Judge) -> dict[str, str]:
    """The title and the paragraphs, by the names that they have in a Check."""
    title, *paragraphs = re.split(r"\n\s*\n", inspect.getdoc(function) or "")
    text = " ".join(" ".join(paragraphs).split())
    split = re.split(rf"\b({'|'.join(_PARAGRAPHS + _REMARKS)}): ", text)
    told = dict(zip(split[1::2], (part.strip() for part in split[2::2]), strict=True))
    for heading in _PARAGRAPHS:
        if not told.get(heading):
            raise DeclarationError(f"its docstring lacks the paragraph {heading!r}")
    title = " ".join(title.split()).rstrip(".")
    if not _TITLE.fullmatch(title) or title.split()[0] in _ORDERS:
        raise DeclarationError(
            f"its title {title!r} is not a condition such as 'A server does not answer'"
        )
    document = {heading.lower(): told.get(heading, "") for heading in _PARAGRAPHS + _REMARKS}
    return {"title": title} | {name: text[:1].upper() + text[1:] for name, text in document.items()}


def _refuse_names(do: str, about: type[Noun]) -> None:
    for name in re.findall(r"\{(\w*)\}", do):
        if name not in about.labelled:
            known = ", ".join(f"{{{label}}}" for label in about.labelled) or "none"
            raise DeclarationError(f"its Do names {{{name}}}, but a {about.kind} has {known}")


def discover(*packages: ModuleType) -> list[Check]:
    """Every check of some packages and of the folders in them, by code.

    Each module declares the check that it is named after, but for one whose name begins with an
    underscore. DeclarationError, with the file and the line, for whatever is wrong.
    """
    found: dict[str, tuple[str, Check]] = {}
    for package in packages:
        for file, check in _declared(package):
            for known, (there, other) in found.items():
                if known == check.code or other.name == check.name:
                    raise DeclarationError(
                        f"{check.code} {check.name} of {file} is there already: "
                        f"{there} declares {known} {other.name}"
                    )
            found[check.code] = file, check
    return [found[code][1] for code in sorted(found)]


def _declared(package: ModuleType) -> Iterator[tuple[str, Check]]:
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        name = info.name.rpartition(".")[2]
        if name.startswith("_"):
            continue
        file = info.name.replace(".", "/") + ("/__init__.py" if info.ispkg else ".py")
        module = _imported(info.name, file)
        if info.ispkg:
            yield from _declared(module)
            continue
        checks = [value for value in vars(module).values() if isinstance(value, Check)]
        own = [one for one in checks if one.judge.__module__ == info.name]
        if not own:
            raise DeclarationError(
                f"{file} declares no check: decorate its function, or begin the name of the file "
                "with an underscore"
            )
        for check in own:
            if check.name != name:
                raise DeclarationError(
                    f"{file} declares {check.code} {check.name}, whose file is {check.name}.py"
                )
            yield file, check


def _imported(name: str, file: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if _is_file(frame.filename, file)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = file if line is None else f"{file}:{line}"
        kind = "" if isinstance(error, DeclarationError) else f"{type(error).__name__}: "
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise DeclarationError(f"{where}: {kind}{what}") from None


def _is_file(path: str, file: str) -> bool:
    return path.replace("\\", "/").endswith(f"/{file}")
