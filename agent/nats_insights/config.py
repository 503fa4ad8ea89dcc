"""The configuration file: TOML in, one Struct out, and a sentence for whatever is wrong with it.

Parameters of checks stay raw here; `rules` converts them with the types of the checks themselves.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from nats_insights.errors import ConfigError
from nats_insights.text import nearest

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_BARE = re.compile(r"[0-9]+(\.[0-9]+)?")
_A_DURATION = "a duration such as 30s or 1h30m"
_NAMES = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
# Characters of a key or of a value in a sentence.
_LONGEST = 80


# The name of a shard is a token of subjects.
_LONGEST_SHARD = 32
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


def _reference(description: str) -> Meta:
    """Where a secret is, in place of the secret: this file is shown, copied and logged."""
    return Meta(
        pattern=r"^((env|file)://.+)?$",
        description=description,
        extra={"secret": "env://NAME or file://PATH: no secret stands in this file"},
    )


class Publish(Struct, frozen=True, kw_only=True):
    """The second connection: as whom, and where, the agent publishes. Keys are named as flags."""

    context: Annotated[
        str,
        Meta(
            description="context of the `nats` CLI for a second connection, into an account with "
            "JetStream, on which all of `$INSIGHTS.>` is published"
        ),
    ] = ""
    server: Annotated[
        list[Annotated[str, Meta(pattern="^[^@]*$", extra={"secret": "a URL without a login"})]],
        Meta(description="its servers; by default those of the first connection, with its TLS"),
    ] = []
    creds: Annotated[str, Meta(description="its credentials file")] = ""
    nkey: Annotated[str, Meta(description="its file with an nkey seed")] = ""
    user: Annotated[str, Meta(description="its user, who needs a `password`")] = ""
    password: Annotated[
        str,
        _reference("where its password is, `env://NAME` or `file://PATH`"),
    ] = ""
    token: Annotated[str, _reference("where its token is, `env://NAME` or `file://PATH`")] = ""
    tlscert: Annotated[str, Meta(description="its TLS client certificate")] = ""
    tlskey: Annotated[str, Meta(description="the private key of that")] = ""
    tlsca: Annotated[str, Meta(description="TLS certificate authorities of its servers")] = ""
    tlsfirst: Annotated[bool, Meta(description="TLS before its servers greet")] = False
    inbox_prefix: Annotated[
        str, Meta(description="subject prefix of its replies; by default `_INBOX.insights`")
    ] = ""
    js_domain: Annotated[
        str, Meta(description="JetStream domain of the streams, such as that of the hub of a leaf")
    ] = ""
    js_api_prefix: Annotated[
        str,
        Meta(
            description="subject prefix of requests to JetStream, as its account imports them; by "
            "default `$JS.API`"
        ),
    ] = ""


def _shard(description: str = "", least: int = 1) -> Meta:
    return Meta(
        pattern=f"^[A-Za-z0-9_-]{{{least},{_LONGEST_SHARD}}}$",
        description=description or None,
        extra={"allowed": f"{_LONGEST_SHARD} letters, digits, - and _ at most"},
    )


class Shard(Struct, frozen=True, kw_only=True):
    """Which part of the system this agent looks at; the whole, where no clusters are named."""

    clusters: Annotated[
        list[str],
        Meta(
            description='clusters that this agent looks at, as globs, such as ["EU-*"]; each '
            "cluster belongs to one shard, and the agents of a shard name the same"
        ),
    ] = []
    others: Annotated[
        list[Annotated[str, _shard()]],
        Meta(description="names of all other shards: one that is silent is unknown, not healthy"),
    ] = []
    name: Annotated[str, _shard("its name; by default that of its clusters", least=0)] = ""

    def __post_init__(self) -> None:
        if bool(self.clusters) != bool(self.others) or (self.name and not self.clusters):
            lacks = "others" if self.clusters else "clusters"
            raise ConfigError(
                f"shard.{lacks} is missing: [shard] needs the clusters of this shard, and the "
                "names of all others"
            )
        for glob in self.clusters:
            # An unclosed bracket would be a literal, so the pattern would match nothing.
            if "[" in re.sub(r"\[!?\]?[^\]]*\]", "", glob):
                raise ConfigError(f"shard.clusters is refused: no bracket closes {_shown(glob)}")
        if self.clusters and not self.title:
            raise ConfigError("shard.name is missing: it cannot be made of the clusters' names")
        if self.title in self.others:
            raise ConfigError(
                f"shard.others is refused: {self.title} is this shard; name only the others"
            )

    @property
    def title(self) -> str:
        """Its name, which is made of the names of its clusters where none is given."""
        made = re.sub("[^A-Za-z0-9_-]", "", "-".join(self.clusters))
        return self.name or made[:_LONGEST_SHARD]


class Tenants(Struct, frozen=True, kw_only=True):
    """Accounts that receive the findings about themselves, and may ask for them."""

    accounts: Annotated[
        list[str],
        Meta(
            description='which accounts are tenants, by key, name or pattern: ["*"] is all, and an '
            "empty list none"
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
        Annotated[int, Meta(ge=0)] | list[str],
        Meta(
            description="how many servers there should be, or their names, such as "
            '["n1", "EU/n2"]; servers that were never seen are reported'
        ),
    ] = 0
    lifecycle: Lifecycle = Lifecycle()
    gather: Gather = Gather()
    access: Access = Access()
    publish: Publish = Publish()
    shard: Shard = Shard()
    tenants: Tenants = Tenants()
    profile: Annotated[
        Literal["default", "insights"],
        Meta(
            description="which default parameters the checks have: those of this agent, or, where "
            "they differ, those of the public catalogue"
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


_KEYS = Config.__struct_fields__


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
    for key, value in raw.items():
        # The section of a check, most likely; at this place the checks are not known.
        if isinstance(value, dict) and key not in _KEYS and not nearest(key, _KEYS):
            raise ConfigError(
                f"{source}: there is no key {_printable(key)}; the section of a check is "
                f"[checks.NAME], and other keys are {', '.join(sorted(_KEYS))}"
            )
    try:
        made = convert(raw, Config)
        for number, glob in enumerate(made.tenants.accounts):
            pattern(glob, f"tenants.accounts[{number}]")
        return made
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


S = typing.TypeVar("S", bound=Struct)


def convert(raw: object, into: type[S], path: str = "") -> S:
    """Raw values to a Struct: known keys only, durations as seconds, all within their bounds."""
    if not isinstance(raw, dict):
        raise _refused(path, raw, into)
    hints = typing.get_type_hints(into, include_extras=True)
    known = {}
    for key, value in raw.items():
        refuse_unknown(key, hints, path)
        known[key] = _converted(value, hints[key], f"{path}.{key}" if path else key)
    return into(**known)


def refuse_unknown(key: str, known: Iterable[str], path: str = "", listed: str = "") -> None:
    """ConfigError if `key` is not `known`, with the nearest that is.

    Where none is like it, all are named, or `listed` says where they are.
    """
    names = sorted(known)
    if key in names:
        return
    near = nearest(key, names)
    prefix = f"{path}." if path else ""
    hint = f"did you mean {prefix}{near}?" if near else listed or f"known are {', '.join(names)}"
    raise ConfigError(f"there is no key {prefix}{_printable(key)}; {hint}")


def refuse_word(word: str, known: Iterable[str], path: str) -> None:
    """ConfigError if the value at `path` is none of the `known` words, with the nearest of them."""
    words = sorted(known)
    if word in words:
        return
    near = nearest(word, words)
    hint = f"did you mean {near}?" if near else f"it is one of {', '.join(words)}"
    raise ConfigError(f"{path} is refused: there is no {_printable(word)}; {hint}")


def pattern(glob: object, path: str) -> re.Pattern[str]:
    """A name with wildcards, such as "web-*"; ConfigError naming `path` if it is none."""
    if not isinstance(glob, str):
        raise ConfigError(f"{path} is refused: a name is written in quotes")
    # An unclosed bracket would be a literal, so the pattern would match nothing.
    if "[" in re.sub(r"\[!?\]?[^\]]*\]", "", glob):
        raise ConfigError(f"{path} is refused: nothing closes the bracket in {glob!r}")
    return re.compile(fnmatch.translate(glob))


def _converted(value: Any, hint: Any, where: str) -> Any:
    """A value of the file as the type `hint` has it."""
    kind = _bare(hint)
    if typing.get_origin(kind) is typing.Union:
        of = [one for one in typing.get_args(kind) if _fits(value, one)]
        if not of:
            raise _refused(where, value, hint)
        return _converted(value, of[0], where)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return convert(value, kind, where)
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        return {key: _converted(one, inner[1], f"{where}.{key}") for key, one in value.items()}
    if typing.get_origin(kind) is list and isinstance(value, list):
        return [_converted(one, inner[0], f"{where}[{n}]") for n, one in enumerate(value)]
    if typing.get_origin(kind) is Literal and isinstance(value, str):
        refuse_word(value, inner, where)
    made = value
    if isinstance(value, str) and is_duration(hint):
        made = seconds(value, where)
    elif isinstance(value, int | float) and abs(value) > LARGEST:
        large = "is larger than any figure of a server"
        raise ConfigError(f"{where} is refused: {_written(value)} {large}")
    elif isinstance(value, float) and value.is_integer() and kind is int:
        made = int(value)
    try:
        return msgspec.convert(made, hint)
    except msgspec.ValidationError as error:
        of_type = ", got " in str(error)
        raise _refused(where, value, hint, "" if of_type else _allowed(hint)) from None


def _fits(value: object, hint: Any) -> bool:
    """Whether it is of one of the types of a union, whatever its bounds."""
    kind = _bare(hint)
    return type(value) is (typing.get_origin(kind) or kind)


def _refused(where: str, value: object, hint: Any, allowed: str = "") -> ConfigError:
    """The sentence for a value of another type, or outside of what is `allowed`."""
    if secret := _secret(hint):  # It is not written out: it may be the secret itself.
        return ConfigError(f"{where} is refused: it must be {secret}")
    said = f"{_written(value)} is not {_named(hint, where)}"
    if allowed:
        said = f"{_written(value)} is not allowed, it must be {allowed}"
    return ConfigError(f"{where} is refused: {said}")


def _secret(hint: Any) -> str:
    """What a value must be that may not be shown when it is wrong; "" for all others."""
    metas = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Meta)]
    return next((str(extra["secret"]) for m in metas if "secret" in (extra := m.extra or {})), "")


def _named(hint: Any, where: str) -> str:
    """What a value of this type is called."""
    kind = _bare(hint)
    if is_duration(hint):
        return _A_DURATION
    if typing.get_origin(kind) is typing.Union:
        return " or ".join(_named(one, where) for one in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        of_tables = typing.get_origin(typing.get_args(kind)[0]) is dict
        return f"a list of tables, each below [[{where}]]" if of_tables else "a list in brackets"
    if kind in _NAMES:
        return _NAMES[kind]
    if typing.get_origin(kind) is Literal:
        return _NAMES[str]
    return "a table" if where.endswith("]") else f"a table such as [{where}]"


def _allowed(hint: Any) -> str:
    """The bounds of a number or of a text."""
    (meta,) = (one for one in hint.__metadata__ if isinstance(one, Meta))
    if meta.pattern:
        return str((meta.extra or {}).get("allowed", "text that can be printed"))
    if meta.max_length:
        return f"text of at most {meta.max_length} characters"
    write = span if is_duration(hint) else "{:.10g}".format
    ends = (("at least", meta.ge), ("above", meta.gt), ("at most", meta.le), ("below", meta.lt))
    return " and ".join(f"{word} {write(end)}" for word, end in ends if end is not None)


def _written(value: object) -> str:
    """A value as it was written, or what it is where that may be long."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return str(value).lower() if isinstance(value, bool) else _shown(value)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _bare(hint: Any) -> Any:
    """A type without its annotations."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def is_duration(hint: Any) -> bool:
    """Whether a value of this type is a number of seconds that is written with a unit."""
    metas = getattr(hint, "__metadata__", ())
    return any(isinstance(m, Meta) and (m.extra or {}).get("kind") == "duration" for m in metas)


def seconds(text: str, where: str) -> float:
    """ "1h30m" as seconds, and a bare number; ConfigError naming `where` if it is no duration."""
    if _BARE.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ConfigError(f"{where} is refused: {_shown(text)} is not {_A_DURATION}")
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
    return key if key.isprintable() and len(key) <= _LONGEST else repr(key[:_LONGEST])
