"""The configuration file: TOML in, one Struct out, and a sentence for whatever is wrong with it.

Parameters of checks stay raw here; `rules` converts them with the types of the checks themselves.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from nats_insights.errors import ConfigError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


# Longer than anybody waits, and short enough for a date to follow.
_YEAR = 366 * 86_400.0
# The largest number that a reply can contain.
LARGEST = 2**63 - 1


def _duration(description: str, *, ge: float) -> Meta:
    return Meta(ge=ge, le=_YEAR, description=description, extra={"kind": "duration"})


Duration = Annotated[float, _duration("a time", ge=0)]


class Lifecycle(Struct, frozen=True, kw_only=True):
    """When findings repeat and resolve. Durations are seconds here, "2m" or "1h30m" in the file."""

    settle: Annotated[
        float,
        _duration("balance checks wait this long after a server started, left or drained", ge=0),
    ] = 120.0
    remind_every: Annotated[
        float, _duration("how often a finding that is still open is published again", ge=1)
    ] = 900.0
    gone_after: Annotated[
        float,
        _duration(
            "how long a server that died without announcing it counts with its last known figures; "
            "then its findings resolve",
            ge=0,
        ),
    ] = 120.0
    forget_after: Annotated[
        float, _duration("when a server that left or died is removed from the roster", ge=1)
    ] = 86_400.0


class Gather(Struct, frozen=True, kw_only=True):
    """How servers are asked."""

    timeout: Annotated[
        float,
        _duration("timeout of a request; a silent server is asked once more", ge=0.05),
    ] = 2.0
    every: Annotated[
        dict[str, Duration],
        Meta(
            description='how often an endpoint is asked, such as { CONNZ = "2m" }; else in each '
            "epoch, and what is expensive less often"
        ),
    ] = {}
    sweep: Annotated[
        Literal["moved", "all"],
        Meta(
            description="which servers are asked for CONNZ: `moved`, those whose connections "
            "changed in a way that may matter, or `all`, for comparison; both find the same"
        ),
    ] = "moved"
    window: Annotated[
        int,
        Meta(
            ge=65_536,
            description="most bytes of connections requested and not yet received",
        ),
    ] = 24 * 1024 * 1024
    max_bytes_per_epoch: Annotated[
        int,
        Meta(ge=65_536, description="an epoch that receives more makes the interval longer"),
    ] = 1024 * 1024 * 1024
    max_cpu: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="share of one core on average; above it the interval becomes longer",
        ),
    ] = 0.5


class Access(Struct, frozen=True, kw_only=True):
    """What the agent's user may do."""

    without: Annotated[
        list[str],
        Meta(
            description="endpoints that the user is not permitted to request, on purpose: checks "
            "that need them do not make the verdict unknown"
        ),
    ] = []


class Config(Struct, frozen=True, kw_only=True):
    """Every key of the file, all optional."""

    id: Annotated[
        str,
        Meta(
            max_length=256,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="name of this agent; by default the host's name",
        ),
    ] = ""
    interval: Annotated[float, _duration("time from one epoch to the next", ge=0.1)] = 30.0
    expect: Annotated[
        int | list[str],
        Meta(
            description="how many servers there should be, or their names, such as "
            '["n1", "EU/n2"]; servers that were never seen are reported'
        ),
    ] = 0
    lifecycle: Lifecycle = Lifecycle()
    gather: Gather = Gather()
    access: Access = Access()
    profile: Annotated[
        Literal["default", "insights"],
        Meta(
            description="which default parameters the checks have: those of this agent, or, where "
            "they differ, those of the catalogue of NATS Insights"
        ),
    ] = "default"
    checks: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="by name of the check: its parameters, and the keys below"),
    ] = {}
    override: Annotated[
        list[dict[str, Any]],
        Meta(
            description="parameters, `enabled` and `severity` for what `match` names, such as a "
            "cluster or a user; later ones win"
        ),
    ] = []


def load(path: Path) -> Config:
    """Read a file; ConfigError with the path of the wrong key and the nearest right one."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text, at byte {error.start}") from None
    return parse(text, str(path))


def parse(text: str, source: str = "configuration") -> Config:
    """The same for the text of a file."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}") from None
    except (ValueError, RecursionError):  # A number of 5,000 digits, a hundred nested lists.
        raise ConfigError(f"{source} holds a value that is too long or too deep") from None
    try:
        for name, table in _tables(raw.get("checks")):
            if not isinstance(table, dict):
                kind = type(table).__name__
                raise ConfigError(f"checks.{name} is refused: expected object, got {kind}")
        return convert(raw, Config)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


S = typing.TypeVar("S", bound=Struct)


def convert(raw: object, into: type[S], path: str = "") -> S:
    """Raw values to a Struct: known keys only, durations as seconds, all within their bounds."""
    try:
        if not isinstance(raw, dict):
            raise msgspec.ValidationError(f"Expected object, got {type(raw).__name__}")
        return msgspec.convert(_known(raw, into, path), into)
    except msgspec.ValidationError as error:
        wrong = str(error).replace("`", "")
        reason, _, where = wrong.partition(" - at $")
        key = (path + where).lstrip(".") or "a value"
        raise ConfigError(f"{key} is refused: {reason[0].lower()}{reason[1:]}") from None


def refuse_unknown(key: str, known: Iterable[str], path: str = "") -> None:
    """ConfigError if `key` is not `known`, with the nearest that is."""
    names = sorted(known)
    if key in names:
        return
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    prefix = f"{path}." if path else ""
    hint = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(names)}"
    raise ConfigError(f"there is no key {prefix}{_printable(key)}; {hint}")


def refuse_word(word: str, known: Iterable[str], path: str) -> None:
    """ConfigError if the value at `path` is none of the `known` words, with the nearest of them."""
    words = sorted(known)
    if word in words:
        return
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(words)}"
    raise ConfigError(f"{path} is refused: there is no {_printable(word)}; {hint}")


def _known(raw: dict[str, Any], into: type[Struct], path: str) -> dict[str, Any]:
    hints = typing.get_type_hints(into, include_extras=True)
    known: dict[str, Any] = {}
    for key, value in raw.items():
        refuse_unknown(key, hints, path)
        where = f"{path}.{key}" if path else key
        hint = hints[key]
        if isinstance(hint, type) and issubclass(hint, Struct) and isinstance(value, dict):
            known[key] = _known(value, hint, where)
        elif isinstance(value, str) and _is_duration(hint):
            known[key] = seconds(value, where)
        elif isinstance(value, dict) and _is_duration(_values(hint)):
            known[key] = {
                name: seconds(one, f"{where}.{name}") if isinstance(one, str) else one
                for name, one in value.items()
            }
        elif isinstance(value, int | float) and abs(value) > LARGEST:
            raise ConfigError(f"{where} is refused: {value} is larger than any figure of a server")
        elif isinstance(value, float) and value.is_integer() and _is_whole(hint):
            known[key] = int(value)
        elif isinstance(value, str) and value not in (words := _words(hint) or (value,)):
            raise ConfigError(f"{where} is refused: it is one of {', '.join(words)}")
        else:
            known[key] = value
    return known


def _values(hint: Any) -> Any:
    """The type of the values of a table, None of anything else."""
    kind = getattr(hint, "__origin__", hint)
    return typing.get_args(kind)[1] if typing.get_origin(kind) is dict else None


def _tables(raw: object) -> Iterable[tuple[str, object]]:
    return raw.items() if isinstance(raw, dict) else ()


def _words(hint: Any) -> tuple[str, ...]:
    """The words that a key may be, none where it may be any."""
    kind = getattr(hint, "__origin__", hint)
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _is_duration(hint: Any) -> bool:
    metas = getattr(hint, "__metadata__", ())
    return any(isinstance(m, Meta) and (m.extra or {}).get("kind") == "duration" for m in metas)


def _is_whole(hint: Any) -> bool:
    return getattr(hint, "__origin__", hint) is int


def seconds(text: str, where: str) -> float:
    """ "1h30m" as seconds; ConfigError naming `where` if it is no duration."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ConfigError(f"{where} is refused: {text!r} is not a duration such as 30s or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def span(seconds: float) -> str:
    """Seconds as a duration is written: 90 is "1m30s"."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms" if seconds else "0s"
    parts = []
    for unit in ("d", "h", "m"):
        whole, seconds = divmod(seconds, _UNITS[unit])
        parts.append(f"{whole:g}{unit}" if whole else "")
    return "".join(parts) + (f"{seconds:g}s" if seconds else "")


def _printable(key: str) -> str:
    return key if key.isprintable() and len(key) <= 80 else repr(key[:80])
