"""The types of reply fields: their bounds, the server, and fields that a version does not send.

Each figure has bounds, and a reply or a row with a figure beyond them is malformed: sums, quotients
and dates that are computed from decoded figures never overflow.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, StructMeta

from nats_insights.errors import NotTold

# Three numbers of up to nine digits, and what says that it is a candidate.
_LONGEST_VERSION = 32
# A longer name is not one that many servers have in common.
_LONGEST_SHARED = 256
# An id is a token of the request subject of its server. Servers use their public key, 56 letters
# and digits; a long id would exceed the longest line that a server reads, 4,096 bytes.
is_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch
_NUMBERS = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-?)").match
# A number from 2**63 to 2**64 and a little more, where Go writes a number.
_above_63_bits = re.compile(rb"(?<=:)\d{19,20}(?=[,}\]])").sub

# How many of something there are now; servers store these in at most 32 bits.
Count = Annotated[int, Meta(ge=0, lt=2**32)]
# How many of something there were since the start. Every JSON parser reads integers up to here.
Counter = Annotated[int, Meta(ge=0, lt=2**53)]
# Bytes, and sequences, whose first value is configurable.
Bytes = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# Figures that servers also subtract from: they can be negative, and `read` restores the sign.
Gauge = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# Figures of a configuration: they may be negative, and as large as a server can read.
Limit = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# Nanoseconds. Servers send -1 if something has never happened.
Duration = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Rate = Annotated[float, Meta(ge=0, lt=2**53)]
# Times without a zone cannot be subtracted from those with one.
Time = Annotated[datetime, Meta(tz=True)]


class Malformed(Exception):
    """A reply that cannot be decoded; the message contains nothing of its content."""


class ServerInfo(Struct, frozen=True, gc=False):
    """Who replied, and when by its own clock: the `server` object of every reply."""

    name: str = ""
    id: str = ""
    cluster: str = ""
    ver: str = ""
    host: str = ""
    domain: str = ""
    tags: tuple[str, ...] = ()
    jetstream: bool = False
    seq: Bytes = 0
    time: Time | None = None


_UNKNOWN = ServerInfo()


class Origin:
    """The server that sent a reply and all objects in it.

    It is not a JSON type: a reply with a member of this name cannot be decoded.
    """

    __slots__ = ("server",)

    def __init__(self, server: ServerInfo = _UNKNOWN) -> None:
        self.server = server

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)  # Objects are equal if their other fields are.

    __hash__ = None  # type: ignore[assignment]


_NOBODY = Origin()
# The Origin of the reply that is being decoded. msgspec creates an object before the server of its
# reply is known, so all objects of one reply share an Origin that is set after decoding.
_reading = [_NOBODY]
_being_read: Callable[[], Origin] = functools.partial(_reading.__getitem__, 0)


class _Late:
    """The value of a field that a reply does not have."""

    def __init__(self, versions: tuple[str, ...], zero: Any) -> None:
        self.first = sorted(_release(version) for version in versions)
        self.zero = zero
        self.is_told_by = functools.lru_cache(maxsize=1024)(self._is_told_by)

    def __repr__(self) -> str:
        return "<not in the reply>"

    def _is_told_by(self, version: str) -> bool:
        """Whether servers of this version send the field; False if the version is not given."""
        release = _release(version)
        same_line = [first for first in self.first if first[:2] == release[:2]]
        return bool(release) and release >= (same_line or self.first)[-1]


def _release(version: str) -> tuple[int, ...]:
    """A version as numbers, candidates before their release; empty if it cannot be parsed."""
    return _numbers(version[:_LONGEST_VERSION])


@functools.lru_cache(maxsize=1024)
def _numbers(version: str) -> tuple[int, ...]:
    if not (found := _NUMBERS(version)):
        return ()
    *numbers, candidate = found.groups()
    return (*map(int, numbers), 0 if candidate else 1)


def is_from(first: str, version: str) -> bool:
    """Whether a version is `first` or a later one; False if it cannot be parsed."""
    return _release(version) >= _release(first)


def since(*versions: str, zero: Any = None) -> Any:
    """Declare a field that servers before these versions do not send.

    Several versions are several release lines: since("2.11.12", "2.12.4") is from 2.11.12 on within
    2.11, from 2.12.4 on otherwise; a line that is not named needs the last of them. If a reply
    lacks the field, it is `zero` for a server that knows the field, as servers omit zero values,
    and raises NotTold for a server that does not know it.
    """
    return _Late(versions, zero)


def told(said: type, name: str, version: str) -> bool:
    """Whether servers of this version send this field of these objects."""
    field = vars(said)[name]
    return not isinstance(field, _Told) or field.late.is_told_by(version)


def absent(default: Any) -> Any:
    """The default of a field for decoders that read a missing field as zero for any version."""
    return default.zero if isinstance(default, _Late) else default


class _Told:
    """A descriptor for a field that not every version sends; other fields are msgspec's own."""

    def __init__(self, name: str, slot: Any, late: _Late) -> None:
        self.name = name
        self.late = late
        self.set = slot.__set__
        self.get = slot.__get__

    def __get__(self, said: Any, owner: type | None = None) -> Any:
        if said is None:
            return self
        value = self.get(said)
        if type(value) is not _Late:
            return value
        server: ServerInfo = said.origin.server
        if not value.is_told_by(server.ver):
            raise NotTold(self.name, server.name, server.ver)
        return value.zero

    def __set__(self, said: Any, value: Any) -> None:
        self.set(said, value)


class _PartMeta(StructMeta):
    def __new__(mcls, name: str, bases: tuple[type, ...], names: dict[str, Any], **how: Any) -> Any:
        made: Any = super().__new__(mcls, name, bases, names, **how)
        for field in msgspec.structs.fields(made):
            if isinstance(field.default, _Late) and field.name in vars(made):
                setattr(made, field.name, _Told(field.name, vars(made)[field.name], field.default))
        return made


class Part(Struct, metaclass=_PartMeta, kw_only=True, gc=False):
    """The base of each object of a reply that has fields declared by `since`."""

    origin: Origin = msgspec.field(default_factory=_being_read)

    @property
    def server(self) -> ServerInfo:
        """The server that sent it."""
        return self.origin.server


class Reply(Part, gc=False):
    """The base of all small replies: `server` is who replied."""


class _Problem(Struct, frozen=True, gc=False):
    code: Count = 0
    description: str = ""


def envelope(data: Any, member: str = "data") -> msgspec.json.Decoder[Any]:
    """A decoder of replies with `data` of this type, for `read`."""
    members: list[Any] = [
        ("server", ServerInfo),
        ("error", _Problem | None, None),
        ("data", data | None, msgspec.field(name=member, default=None)),
    ]
    return msgspec.json.Decoder(
        msgspec.defstruct("Envelope", members, gc=False), dec_hook=_read_by_itself
    )


def _read_by_itself(kind: Any, raw: object) -> Any:
    """A value of a type that is not one of msgspec's, such as Claimed."""
    return kind.read(raw)


def read(decoder: msgspec.json.Decoder[Any], payload: bytes, name: str) -> tuple[ServerInfo, Any]:
    """One reply as (server, data); Malformed if it cannot be decoded or has no data."""
    origin = _reading[0] = Origin()
    try:
        whole = decoder.decode(payload)
    except Exception:
        # Servers send a negative 64-bit figure as an unsigned one.
        whole = parse(decoder, _above_63_bits(_signed, payload))
    finally:
        _reading[0] = _NOBODY
    if whole.data is None:
        code = whole.error.code if whole.error else 0
        raise Malformed(f"{name} answered with error {code} and no data")
    if not is_id(whole.server.id):
        raise Malformed(f"{name} of a server without an id")
    origin.server = whole.server
    return whole.server, whole.data


def parse(decoder: msgspec.json.Decoder[Any], payload: bytes) -> Any:
    """The decoded payload; Malformed if it cannot be decoded."""
    # Besides msgspec's own errors: bad UTF-8, and deep nesting in a field that is not declared.
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Malformed(f"a field is not of its type: {error}") from None
    except Exception:
        raise Malformed(f"not JSON: {len(payload)} bytes") from None


def _signed(number: re.Match[bytes]) -> bytes:
    value = int(number[0])
    return b"%d" % (value - 2**64 if 2**63 <= value < 2**64 else value)


def shared(name: str) -> str:
    """One object for equal strings: thousands of servers name the same peers and accounts."""
    return name if len(name) > _LONGEST_SHARED else _known(name)


@functools.lru_cache(maxsize=65_536)
def _known(name: str) -> str:
    return name  # sys.intern would never free it in Python 3.12.
