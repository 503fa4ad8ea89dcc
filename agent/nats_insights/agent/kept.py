"""What is kept of an agent, as bytes: a header of one line, and a line for each part of it.

    {"type": "insights.state.v1", "agent": "a", "version": "1.0", "written_at": …, "bytes": …, …}
    {"part": "number", "value": 4711}
    {"part": "lives", "value": [ … ]}
    …

The state has two halves, each with a store of its own. The one is saved in every epoch: findings,
servers, and the messages that may not have been published yet. The past, which checks compare with
and HISTORY tells of, may be ten times as large and is saved rarely. A list is written in several
lines, so that neither half is encoded in one piece. A program that does not know a part leaves it
out, and the number in `type` is raised when that would be wrong.
"""

from __future__ import annotations

import hashlib
import re
import typing
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from nats_insights.errors import StateError
from nats_insights.facts import Coverage, Names
from nats_insights.judge.auditor import Auditor, Known
from nats_insights.judge.lifecycle import Told
from nats_insights.judge.restart import Retired
from nats_insights.model.changes import Level
from nats_insights.model.samples import Series
from nats_insights.tell.advisory import Message
from nats_insights.tell.messages import AgentInfo
from nats_insights.text import plain

FORMAT = 1
STATE, PAST = "state", "past"
# The parts of the auditor's state that are saved with the past, beside its history.
_RARELY = ("services", "transitions", "known_since")
# Rows of a list in one line.
_AT_A_TIME = 128
_TYPE = re.compile(rb'\{"type":"insights\.(\w{1,20})\.v(\d{1,9})"')

T = TypeVar("T")


class Unreadable(StateError):
    """It was kept by an agent, and this one cannot go on from it: it must be set aside."""


class Header(Struct, kw_only=True):
    """Who wrote it, and when in Unix seconds; `bytes` and `sha256` are those of what follows."""

    type: str
    agent: str
    version: str
    written_at: float
    bytes: int
    sha256: str


class Untold(Struct, frozen=True, kw_only=True):
    """Transitions that no message was made of yet, and what their messages say of their epoch.

    `valid_for` is in seconds.
    """

    agent: AgentInfo
    coverage: Coverage
    valid_for: float
    told: list[Told]


class Kept(Struct, kw_only=True):
    """What is saved in every epoch: `untold`, and the messages that no server has confirmed yet.

    `checks` are those of the findings.
    """

    known: Known
    checks: list[Retired] = []
    untold: list[Untold] = []
    waiting: list[Message] = []


class _Line(Struct):
    part: str
    value: Any


class _RawLine(Struct):
    part: str
    value: Raw


class _Figure(Struct):
    """Rows of one past; `parts` and `counts` are the mapping that they share."""

    key: str
    changes: list[tuple[Names, Level]] = []
    samples: list[tuple[Names, Series]] = []
    parts: tuple[Any, ...] = ()
    counts: bytes = b""


class Read(NamedTuple):
    """What was read of one half: its header, and its parts by name, each as the lines had it."""

    header: Header
    parts: dict[str, list[Raw]]


def kept_lines(kept: Kept) -> Generator[None, None, list[bytes]]:
    """What is saved in every epoch, in lines, in steps."""
    written: list[bytes] = []
    for struct in (kept.known, kept):
        for name in struct.__struct_fields__:
            if name not in ("known", "history", *_RARELY):
                for line in _lines(name, getattr(struct, name)):
                    written.append(line)
                    yield
    return written


def past_lines(auditor: Auditor) -> Generator[None, None, list[bytes]]:
    """The past, in lines, in steps; the next epoch may begin only when it is done."""
    written = list(_lines("known_since", auditor.transitions.since))
    for part, values in (
        ("transitions", list(auditor.transitions)),
        ("services", list(auditor.services.seen.items())),
        ("epochs", auditor.history.epochs),
    ):
        for line in _lines(part, values):
            written.append(line)
            yield
    for key, levels in auditor.history.changes():
        for rows in _batches(levels):
            written += _lines("figure", _Figure(key, changes=rows))
            yield
    for key, series in auditor.history.samples():
        for figure in _sharing(key, series):
            written += _lines("figure", figure)
            yield
    return written


def sealed(what: str, agent: str, version: str, written_at: float, lines: Sequence[bytes]) -> bytes:
    """The bytes to save: a header, and these lines. It takes milliseconds per megabyte."""
    checksum = hashlib.sha256()
    for line in lines:
        checksum.update(line)
    header = Header(
        type=f"insights.{what}.v{FORMAT}",
        agent=agent,
        version=version,
        written_at=written_at,
        bytes=sum(map(len, lines)),
        sha256=checksum.hexdigest(),
    )
    return b"".join([msgspec.json.encode(header), b"\n", *lines])


def read(what: str, data: bytes, where: str) -> Read:
    """What was saved; Unreadable if it is damaged or of a later format.

    StateError if it is something else altogether, which must not be touched.
    """
    kind = _TYPE.match(data)
    if kind is None or kind[1].decode() != what:
        raise StateError(f"{where} does not hold the {what} of an agent: give another place for it")
    if int(kind[2]) != FORMAT:
        version = _version(data)
        raise Unreadable(f"{where} has format {int(kind[2])}, of version {version} of the agent")
    first, _, body = data.partition(b"\n")
    try:
        header = msgspec.json.decode(first, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unreadable(f"{where} is damaged in its first line") from None
    if len(body) < header.bytes:
        raise Unreadable(f"{where} is truncated: it has {len(body)} of {header.bytes} bytes")
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise Unreadable(f"{where} is damaged: its checksum is wrong")
    parts: dict[str, list[Raw]] = {}
    for line in _decoded(where, body.splitlines(), _RawLine):
        parts.setdefault(line.part, []).append(line.value)
    return Read(header, parts)


def kept(found: Read, where: str) -> Kept:
    """What was saved in every epoch; Unreadable if it lacks something."""
    try:
        known = Known(**_fields(Known, found.parts, where))
        return Kept(known=known, **_fields(Kept, found.parts, where))
    except TypeError as error:
        raise Unreadable(f"{where} is damaged: {plain(str(error))}") from None


def with_past(known: Known, found: Read, where: str) -> Known:
    """The state with what was saved of the past; Unreadable if that is damaged."""
    history = replace(known.history)
    for figure in _decoded(where, found.parts.get("figure", ()), _Figure):
        if figure.changes:
            history.changes.setdefault(figure.key, []).extend(figure.changes)
        for _, series in figure.samples:
            series.parts, series.counts = figure.parts, figure.counts
        if figure.samples:
            history.samples.setdefault(figure.key, []).extend(figure.samples)
    history.epochs = _joined("epochs", list[float], found.parts, where)
    hints = typing.get_type_hints(Known)
    told = [name for name in _RARELY if name in found.parts]
    rest = {name: _joined(name, hints[name], found.parts, where) for name in told}
    return replace(known, history=history, **rest)


def _lines(part: str, value: Any) -> Iterator[bytes]:
    """One line, or several for a list; a list without rows needs none."""
    if not isinstance(value, list):
        yield msgspec.json.encode(_Line(part, value)) + b"\n"
        return
    for rows in _batches(iter(value)):
        yield msgspec.json.encode(_Line(part, rows)) + b"\n"


def _batches(rows: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(rows, _AT_A_TIME)):
        yield batch


def _sharing(key: str, rows: Iterator[tuple[Names, Series]]) -> Iterator[_Figure]:
    """Most accounts share one mapping of all servers: rows with the same one stand together."""
    open_: dict[tuple[int, bytes], _Figure] = {}
    for names, series in rows:
        # The mapping is held by the figure, so that no other one has its id.
        mapping = (id(series.parts), series.counts)
        figure = open_.setdefault(mapping, _Figure(key, [], [], series.parts, series.counts))
        figure.samples.append((names, Series(series.points, series.falls)))
        if len(figure.samples) == _AT_A_TIME:
            yield open_.pop(mapping)
    yield from open_.values()


def _fields(struct: type[Struct], parts: dict[str, list[Raw]], where: str) -> dict[str, Any]:
    """The parts that are fields of this type; a list that has no line is empty."""
    hints = typing.get_type_hints(struct)
    return {
        name: _joined(name, hints[name], parts, where)
        for name in struct.__struct_fields__
        if name in parts or typing.get_origin(hints[name]) is list
    }


def _joined(name: str, hint: Any, parts: dict[str, list[Raw]], where: str) -> Any:
    """A part of this type, of all its lines; an empty list if there are none."""
    values = list(_decoded(where, parts.get(name, ()), hint))
    if typing.get_origin(hint) is list:
        return [row for rows in values for row in rows]
    return values[-1]


def _decoded(where: str, lines: Iterable[bytes | Raw], hint: Any) -> Iterator[Any]:
    decoder = msgspec.json.Decoder(hint)
    try:
        for line in lines:
            yield decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"{where} is damaged: {plain(str(error))}") from None


def _version(data: bytes) -> str:
    """The version of the program that wrote it, as far as it says so."""
    try:
        said = msgspec.json.decode(data.partition(b"\n")[0])
        return plain(str(said["version"]))[:40]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return "unknown"
