"""What fields of replies are made of: bounds, who answered, and what a version does not send.

Each figure has bounds, and a reply or a row with a figure beyond them cannot be read: sums,
quotients and dates that are made of what was read never overflow.
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

# What is longer is no name that many servers have in common.
_LONGEST_SHARED = 256
# An id is a token of the subject by which its server is asked. Servers use their public key, 56
# letters and digits; a long id would exceed the longest line that a server reads, 4,096 bytes.
is_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch
_NUMBERS = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-?)").match
# A number from 2**63 to 2**64 and a little more, where Go writes a number.
_above_63_bits = re.compile(rb"(?<=:)\d{19,20}(?=[,}\]])").sub

# How many of something there are now; servers keep none of these in more than 32 bits.
Count = Annotated[int, Meta(ge=0, lt=2**32)]
# How many of something there ever were. JSON has whole numbers up to here everywhere.
Counter = Annotated[int, Meta(ge=0, lt=2**53)]
# Bytes, and sequences, which an owner may start where he likes.
Bytes = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# What servers subtract from: it can go below zero, and says so since `read` mends how it is sent.
Gauge = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# What a configuration says: it may be negative, and as large as a server can read.
Limit = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# Nanoseconds. Servers send -1 where something has never happened.
Duration = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Rate = Annotated[float, Meta(ge=0, lt=2**53)]
# Times without a zone cannot be subtracted from those with one.
Time = Annotated[datetime, Meta(tz=True)]


class Malformed(Exception):
    """A reply that cannot be read, in words that hold nothing of its content."""


class ServerInfo(Struct, frozen=True, gc=False):
    """Who answered, and when by its own clock: the `server` object of every reply."""

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
    """Of which server a reply and all objects in it are.

    No type of JSON: a server that sends a member of this name sends what cannot be read.
    """

    __slots__ = ("server",)

    def __init__(self, server: ServerInfo = _UNKNOWN) -> None:
        self.server = server

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)  # Objects are compared by what they say.

    __hash__ = None  # type: ignore[assignment]


_NOBODY = Origin()
# Of whom what is being decoded is. msgspec makes an object before it knows of which reply it is,
# so all objects of one reply share an Origin that is filled in when the reply is read.
_reading = [_NOBODY]
_being_read: Callable[[], Origin] = functools.partial(_reading.__getitem__, 0)


class _Late:
    """Stands in the place of a field that a reply does not have."""

    def __init__(self, versions: tuple[str, ...], zero: Any) -> None:
        self.first = sorted(_release(version) for version in versions)
        self.zero = zero
        self.is_told_by = functools.lru_cache(maxsize=1024)(self._is_told_by)

    def __repr__(self) -> str:
        return "<not in the reply>"

    def _is_told_by(self, version: str) -> bool:
        """Whether servers of this version send the field; those that say no version do not."""
        release = _release(version)
        same_line = [first for first in self.first if first[:2] == release[:2]]
        return bool(release) and release >= (same_line or self.first)[-1]


def _release(version: str) -> tuple[int, ...]:
    """A version as numbers, candidates before their release; empty if it is none."""
    if not (found := _NUMBERS(version)):
        return ()
    *numbers, candidate = found.groups()
    return (*map(int, numbers), 0 if candidate else 1)


def is_from(first: str, version: str) -> bool:
    """Whether a version is the first one or a later one; one that cannot be read is not."""
    return _release(version) >= _release(first)


def since(*versions: str, zero: Any = None) -> Any:
    """Declares a field that servers before these versions do not send.

    Several versions are several release lines: since("2.11.12", "2.12.4") is from 2.11.12 on within
    2.11, from 2.12.4 on otherwise; a line that is not named needs the last of them. Where a reply
    lacks the field, it reads as `zero` of a server that leaves out what is zero, and raises NotTold
    of one that does not know it.
    """
    return _Late(versions, zero)


def told(said: type, name: str, version: str) -> bool:
    """Whether servers of this version send this field of these objects."""
    field = vars(said)[name]
    return not isinstance(field, _Told) or field.late.is_told_by(version)


def absent(default: Any) -> Any:
    """What a field with this default reads as where every server that lacks it means zero."""
    return default.zero if isinstance(default, _Late) else default


class _Told:
    """Reads a field that not every version sends; all other fields are read as msgspec does."""

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
        """Who sent it."""
        return self.origin.server


class Reply(Part, gc=False):
    """The base of all small replies: `server` is who answered."""


class _Problem(Struct, frozen=True, gc=False):
    code: Count = 0
    description: str = ""


def envelope(data: Any, member: str = "data") -> msgspec.json.Decoder[Any]:
    """A decoder of replies that hold such data; to be used by `read`."""
    members: list[Any] = [
        ("server", ServerInfo),
        ("error", _Problem | None, None),
        ("data", data | None, msgspec.field(name=member, default=None)),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Envelope", members, gc=False))


def read(decoder: msgspec.json.Decoder[Any], payload: bytes, name: str) -> tuple[ServerInfo, Any]:
    """One reply as (who answered, its data); Malformed if it is unreadable or holds no data."""
    origin = _reading[0] = Origin()
    try:
        whole = decoder.decode(payload)
    except Exception:
        # Servers send a figure below zero, of 64 bits, as if it had no sign.
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
    """What a decoder makes of these bytes; Malformed if it cannot."""
    # Beside msgspec's own errors: bad UTF-8, and deep nesting in a field nobody wants.
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
    """One string for all that are equal: thousands of servers name the same peers and accounts."""
    return name if len(name) > _LONGEST_SHARED else _known(name)


@functools.lru_cache(maxsize=65_536)
def _known(name: str) -> str:
    return name  # sys.intern would keep it for ever in Python 3.12.
