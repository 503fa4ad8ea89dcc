"""History: past values of figures, kept from epoch to epoch so that checks can compare.

A figure is recorded only in an epoch in which it was reported, so only reported values are
compared: a lost reply is not a change, and a server that did not reply for a while does not get a
wrong rate. Values are kept by stable names. A counter that falls was reset to zero.

There may be a hundred thousand nouns of a kind: the values of each are kept as bytes and Structs
that the garbage collector does not track.
"""

from __future__ import annotations

import inspect
import struct
import typing
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import cached_property
from itertools import pairwise
from math import inf, isfinite
from statistics import linear_regression, median_low
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from nats_insights.errors import DeclarationError, Missing, TooSoon
from nats_insights.facts import Names

# Nouns of one past; those beyond the limit are only counted.
MOST = 200_000
MOST_POINTS = 1024
# Times of change that are kept for one noun.
MOST_CHANGES = 16
# A noun that was reported in one of this many last epochs is kept, however long these took.
EPOCHS = 3
# Epochs are not exact: a new point is due when this share of the interval has passed.
_NEARLY = 0.9
# How many parts that are no longer reported a noun may keep, beside as many as are reported.
_SPARE_PARTS = 64
_POINT = struct.Struct("<dd")
_SIZE = _POINT.size
_TIME = struct.Struct("<d")

R = TypeVar("R", bound="Changes | Samples")


class Past(Generic[R]):
    """The declaration of a figure `(noun) -> value` whose past a check reads.

    Values are kept for `keep` seconds, in points at least `every` seconds apart; `every` is 0
    where only the last value and the times of its changes are kept.
    """

    def __init__(self, figure: Callable[[Any], Any], keep: float, every: float) -> None:
        self.figure, self.keep, self.every = figure, keep, every

    @property
    def name(self) -> str:
        """The name of the figure, for messages."""
        return self.figure.__name__

    @property
    def key(self) -> str:
        """Its unique name in plain data: two checks may have figures of the same name."""
        return f"{self.figure.__module__}:{self.figure.__qualname__}"

    @cached_property
    def about(self) -> type[Any]:
        """The noun type that it is a figure of; DeclarationError if the annotation names none."""
        arguments = list(inspect.signature(self.figure).parameters)
        about = typing.get_type_hints(self.figure).get(arguments[0]) if arguments else None
        if len(arguments) != 1 or not isinstance(about, type):
            raise DeclarationError(f"{self.name}: its one argument must be annotated with a noun")
        return about

    def __repr__(self) -> str:
        return f"Past({self.key})"


def changes(*, keep: float) -> Callable[[Callable[[Any], Any]], Past[Changes]]:
    """Declare a figure whose last value and times of change are kept.

    It is a number, a string, a bool or a tuple of these. Changes are kept for `keep` seconds.
    """
    _refuse(keep)

    def declare(figure: Callable[[Any], Any]) -> Past[Changes]:
        return Past(figure, keep, 0.0)

    return declare


def samples(*, keep: float, every: float) -> Callable[[Callable[[Any], Any]], Past[Samples]]:
    """Declare a figure whose points are kept: for `keep` seconds, `every` seconds apart.

    It is a number, or a mapping of part to number, such as a counter of each server. A mapping is
    kept as the sum of the growth of each part since it was first reported: a part that is missing
    or falls does not lower the sum. A part whose counter has not started must be reported as 0,
    else its first value is not counted as growth. Several nouns may share one mapping, which must
    not be changed afterwards.
    """
    _refuse(keep)
    if not 0 < every <= keep or keep / every > MOST_POINTS:
        raise DeclarationError(f"samples every {every:g} s for {keep:g} s: 1 to {MOST_POINTS}")

    def declare(figure: Callable[[Any], Any]) -> Past[Samples]:
        return Past(figure, keep, every)

    return declare


def _refuse(keep: float) -> None:
    if not 0 < keep < inf:
        raise DeclarationError(f"a past is kept for a number of seconds, not {keep!r}")


def _window(past: Past[Any], seconds: float) -> None:
    if not 0 < seconds <= past.keep:
        raise ValueError(f"{past.name} is kept for {past.keep:g} s, and asked for {seconds:g} s")


class Level(Struct, array_like=True, gc=False):
    """What is kept of one noun for `changes`; times are Unix seconds.

    `first` and `told` are when it was first and last reported, `times` when it changed, packed.
    """

    value: Any
    before: Any
    first: float
    told: float
    times: bytes = b""

    def differs(self, value: Any, now: float) -> None:
        """Record a new value."""
        self.times = _pack([*self.changed(), now][-MOST_CHANGES:])
        self.before, self.value = self.value, value

    def changed(self) -> tuple[float, ...]:
        """When it changed, the latest last."""
        return _unpack(self.times)

    def rewind(self, now: float) -> None:
        """After the clock was set back: limit all times to now."""
        self.first = min(self.first, now)
        self.times = _pack([min(at, now) for at in self.changed()])


class Changes(Struct, frozen=True, gc=False):
    """A figure as it is now, and when it changed; TooSoon until it was reported in two epochs.

    Windows end at the present epoch, in seconds, at most the `keep` of the past, else ValueError.
    """

    past: Past[Changes]
    whose: str
    level: Level

    @property
    def now(self) -> Any:
        """Its value in this epoch."""
        return self.level.value

    @property
    def before(self) -> Any:
        """Its value before the last change; the same as `now` if there was none within `keep`."""
        return self.level.before if self._since(self.past.keep) else self.level.value

    @property
    def last_change(self) -> float | None:
        """Seconds since its last change, None if there was none within `keep`."""
        times = self._since(self.past.keep)
        return self.level.told - times[-1] if times else None

    @property
    def since(self) -> float:
        """The Unix second from which on it was reported with its present value."""
        times = self._since(inf)
        return times[-1] if times else self.level.first

    def changed_within(self, seconds: float) -> bool:
        """Whether it changed in the last `seconds`."""
        return self.times_within(seconds) > 0

    def times_within(self, seconds: float) -> int:
        """How often it changed in the last `seconds`, MOST_CHANGES at most."""
        _window(self.past, seconds)
        return len(self._since(seconds))

    def same_for(self, seconds: float) -> bool:
        """Whether it did not change for `seconds`; TooSoon while its past is shorter than that."""
        if self.times_within(seconds):
            return False
        if self.level.told - self.since < seconds:
            raise TooSoon(self.past.name, self.whose, f"{seconds:g} s of its past")
        return True

    def _since(self, seconds: float) -> list[float]:
        level = self.level
        if level.first == level.told:
            raise TooSoon(self.past.name, self.whose, "a second epoch")
        return [at for at in level.changed() if level.told - at <= seconds]


class Samples(Struct, frozen=True, gc=False):
    """The points of a figure, the present one last; TooSoon until they cover the window.

    Windows end at the present epoch, in seconds, at most the `keep` of the past, else ValueError.
    A window begins at the point nearest to its nominal start: it covers more where epochs were
    lost or are longer than the window, and never less than nine tenths of it.
    """

    past: Past[Samples]
    whose: str
    points: bytes
    falls: bytes

    @property
    def now(self) -> float:
        """Its value in this epoch."""
        return self._values[-1]

    def span(self, seconds: float) -> float:
        """How many seconds the window covers."""
        base = self._base(seconds)
        at = self._at
        return at[-1] - at[base]

    @property
    def known_for(self) -> float:
        """The longest window that the points cover, in seconds; TooSoon with fewer than two."""
        at = self._at
        if len(at) < 2:
            raise self._too_soon("a second epoch")
        return min(at[-1] - at[0], self.past.keep)

    def growth(self, seconds: float) -> float:
        """How much a counter grew within the window; a fall counts as a reset to zero."""
        return self._grown(self._base(seconds))

    def rate(self, seconds: float) -> float:
        """How much a counter grew within the window, per second."""
        base = self._base(seconds)
        at = self._at
        return self._grown(base) / (at[-1] - at[base])

    def difference(self, seconds: float) -> float:
        """The present value minus the value at the start of the window; a gauge may fall."""
        base = self._base(seconds)
        return self._values[-1] - self._values[base]

    def values(self, seconds: float, points: int = 2) -> tuple[float, ...]:
        """The value at each point of the window, the earliest first.

        TooSoon with fewer than `points` points.
        """
        base = self._base(seconds)
        values = self._values[base:]
        if len(values) < points:
            raise self._too_soon(f"{points} points")
        return values

    def unbroken(self, seconds: float, points: int = 5) -> tuple[float, ...]:
        """The same if it was reported throughout the window, else TooSoon.

        No step between two points may be longer than 1.5 times the median step: in a longer gap the
        figure may have had any value.
        """
        values = self.values(seconds, points)
        steps = [now - then for then, now in pairwise(self._at[-len(values) :])]
        if max(steps) > 1.5 * median_low(steps):
            raise self._too_soon(f"{seconds:g} s without a pause")
        return values

    def rising(self, seconds: float) -> float:
        """The share of the steps between neighbouring points of the window that did not fall."""
        steps = [now >= then for then, now in pairwise(self.values(seconds))]
        return sum(steps) / len(steps)

    def trend(self, points: int = 2) -> float:
        """The slope of a least-squares line through all points, per second.

        TooSoon with fewer than `points` points.
        """
        at, values = self._at, self._values
        if len(at) < max(2, points):
            raise self._too_soon(f"{points} points" if points > 2 else "a second epoch")
        return linear_regression(at, values).slope

    @property
    def _at(self) -> tuple[float, ...]:
        return _unpack(self.points)[::2]

    @property
    def _values(self) -> tuple[float, ...]:
        return _unpack(self.points)[1::2]

    def _base(self, seconds: float) -> int:
        """The index of the point at which the window begins."""
        _window(self.past, seconds)
        at = self._at
        if len(at) < 2:
            raise self._too_soon("a second epoch")
        begin, latest = at[-1] - seconds, at[-1] - seconds * _NEARLY
        bases = bisect_right(at, latest)
        if not bases:
            raise self._too_soon(f"{seconds:g} s of its past")
        base = bisect_left(at, begin, hi=bases)
        if base == bases or (base and begin - at[base - 1] <= at[base] - begin):
            base -= 1
        return base

    def _grown(self, base: int) -> float:
        begin, values = self._at[base], self._values
        lost: float = sum(amount for at, amount in _POINT.iter_unpack(self.falls) if at > begin)
        return values[-1] - values[base] + lost

    def _too_soon(self, needs: str) -> TooSoon:
        return TooSoon(self.past.name, self.whose, needs)


class Series(Struct, array_like=True, gc=False):
    """What is kept of one noun for `samples`, as plain data.

    `points` are packed pairs of Unix seconds and value, `falls` of Unix seconds and the value
    before the fall; `parts` and `counts` are the parts of a mapping and their last reported values.
    """

    points: bytes
    falls: bytes = b""
    parts: tuple[Any, ...] = ()
    counts: bytes = b""


class Remembered(Struct):
    """A history as plain data: for the key of each past, the nouns by their names.

    `epochs` are the Unix seconds of the last epochs.
    """

    changes: dict[str, list[tuple[Names, Level]]] = {}
    samples: dict[str, list[tuple[Names, Series]]] = {}
    epochs: list[float] = []


class _Table(Protocol):
    """What is kept for one past; values reported before `oldest` are not compared with."""

    oldest: float

    def __len__(self) -> int: ...
    def record(self, names: Names, value: Any, now: float) -> bool:
        """Record a figure; False if the table is full."""

    def read(self, names: Names, now: float) -> Any:
        """What is recorded; None if there is no record at `now`."""

    def drop(self, now: float) -> float:
        """Drop what was last reported before `oldest`, or later than now.

        Returns when the oldest of the rest was reported.
        """


class _Levels(dict[Names, Level]):
    def __init__(self, past: Past[Changes], most: int) -> None:
        self.past, self.most, self.oldest = past, most, -inf

    def record(self, names: Names, value: Any, now: float) -> bool:
        level = self.get(names)
        if level is None or level.told < self.oldest:
            if level is None and len(self) >= self.most:
                return False
            self._need(value)
            self[names] = Level(value, value, now, now)
        elif now != level.told:
            if now < level.told:
                level.rewind(now)
            if value != level.value:
                self._need(value)
                level.differs(value, now)
            level.told = now
        return True

    def _need(self, value: Any) -> None:
        if not _fits(value):
            raise ValueError(f"{self.past.name}: {str(value)[:100]} is no figure to remember")

    def read(self, names: Names, now: float) -> Changes | None:
        level = self.get(names)
        if level is None or level.told != now:
            return None
        return Changes(self.past, names[-1], level)

    def drop(self, now: float) -> float:
        for names in [n for n, level in self.items() if not self.oldest <= level.told <= now]:
            del self[names]
        return min((level.told for level in self.values()), default=inf)

    def plain(self) -> list[tuple[Names, Level]]:
        return [(names, copy(level)) for names, level in self.items()]

    def restore(self, rows: Iterable[tuple[Names, Level]], oldest: float, now: float) -> None:
        for names, level in rows:
            if len(self) >= self.most:
                break
            value, before = _thawed(level.value), _thawed(level.before)
            if oldest <= level.told <= now and _in_order(level) and _fits(value) and _fits(before):
                self[names] = replace(level, value=value, before=before)


class _Rows(dict[Names, bytes]):
    """The points of each noun. The last point is the present one. It is kept when the next one is
    added if it is at least `every` seconds after the point before it.
    """

    def __init__(self, past: Past[Samples], most: int) -> None:
        self.past, self.most, self.oldest = past, most, -inf
        self.every = past.every * _NEARLY
        # Rare for counters: they fall only when their server restarts.
        self.falls: dict[Names, bytes] = {}
        self.parts: dict[Names, tuple[tuple[Any, ...], bytes]] = {}
        # Most accounts of a thousand servers share one mapping: it is packed once and stored once.
        self._mapping = object()
        self._packed: tuple[tuple[Any, ...], bytes] = (), b""

    def record(self, names: Names, value: Any, now: float) -> bool:
        row = self.get(names)
        if row is None:
            if len(self) >= self.most:
                return False
            self[names] = _POINT.pack(now, self._figure(names, value, 0.0))
            return True
        at, last = _POINT.unpack_from(row, -_SIZE)
        if now == at:
            return True
        if at < self.oldest:
            self._drop(names)
            return self.record(names, value, now)
        value = self._figure(names, value, last)
        if now < at:  # The clock was set back: the earlier points are not usable.
            self.falls.pop(names, None)
            self[names] = _POINT.pack(now, value)
            return True
        # Inlined: this runs for every noun in every epoch.
        if len(row) > _SIZE:
            if at - _TIME.unpack_from(row, -2 * _SIZE)[0] < self.every:
                row = row[:-_SIZE]
            # Of the points that are too old the latest is kept: the longest window begins there.
            while len(row) > _SIZE and _TIME.unpack_from(row, _SIZE)[0] <= now - self.past.keep:
                row = row[_SIZE:]
        if value < last:
            self._fell(names, row, now, last)
        self[names] = row + _POINT.pack(now, value)
        return True

    def _fell(self, names: Names, row: bytes, now: float, last: float) -> None:
        """Merge falls between the same two points, and drop those before the first point."""
        begin, kept = _TIME.unpack_from(row)[0], _told(row)
        falls = [f for f in _POINT.iter_unpack(self.falls.get(names, b"")) if f[0] > begin]
        if falls and falls[-1][0] > kept:
            last += falls.pop()[1]
        self.falls[names] = b"".join([_POINT.pack(*fall) for fall in [*falls, (now, last)]])

    def _figure(self, names: Names, value: Any, last: float) -> float:
        if not isinstance(value, (int, float)):
            return self._total(names, value, last)
        if not isfinite(value):
            raise ValueError(f"{self.past.name}: {value} is no figure to remember")
        return value

    def _total(self, names: Names, told: Any, last: float) -> float:
        """The growth of all parts since they were first reported."""
        if told is not self._mapping:
            if not isinstance(told, Mapping) or not all(map(isfinite, told.values())):
                raise ValueError(f"{self.past.name}: {str(told)[:100]} is no figure to remember")
            self._mapping, self._packed = told, (tuple(told), _pack(told.values()))
        parts, counts = self.parts.get(names, ((), b""))
        if not parts or (parts, counts) == self._packed:  # The first report, or unchanged.
            self.parts[names] = self._packed
            return last
        held = dict(zip(parts, _unpack(counts), strict=True))
        for part, now in told.items():
            then = held.get(part, now)
            last += now - then if now >= then else now
        held.update(told)
        if len(held) != len(parts):
            # Parts that are no longer reported must not accumulate.
            held = held if len(held) <= 2 * len(told) + _SPARE_PARTS else dict(told)
            parts = tuple(held)
        packed = parts, _pack(held.values())
        self.parts[names] = self._packed if packed == self._packed else packed
        return last

    def read(self, names: Names, now: float) -> Samples | None:
        row = self.get(names)
        if row is None or _told(row) != now:
            return None
        return Samples(self.past, names[-1], row, self.falls.get(names, b""))

    def drop(self, now: float) -> float:
        for names in [n for n, row in self.items() if not self.oldest <= _told(row) <= now]:
            self._drop(names)
        return min(map(_told, self.values()), default=inf)

    def _drop(self, names: Names) -> None:
        del self[names]
        self.falls.pop(names, None)
        self.parts.pop(names, None)

    def plain(self) -> list[tuple[Names, Series]]:
        return [
            (names, Series(row, self.falls.get(names, b""), *self.parts.get(names, ((), b""))))
            for names, row in self.items()
        ]

    def restore(self, rows: Iterable[tuple[Names, Series]], oldest: float, now: float) -> None:
        for names, series in rows:
            if len(self) >= self.most:
                break
            if not _whole(series) or not oldest <= _told(series.points) <= now:
                continue
            self[names] = series.points
            if series.falls:
                self.falls[names] = series.falls
            if series.parts:
                self.parts[names] = _thawed(series.parts), series.counts


class History:
    """The recorded values of the nouns, for each past."""

    def __init__(self, pasts: Iterable[Past[Any]] = (), most: int = MOST) -> None:
        self._levels: dict[Past[Any], _Levels] = {}
        self._rows: dict[Past[Any], _Rows] = {}
        for past in pasts:
            if past.every:
                self._rows[past] = _Rows(past, most)
            else:
                self._levels[past] = _Levels(past, most)
        self._tables: dict[Past[Any], _Table] = {**self._levels, **self._rows}
        self._epochs: deque[float] = deque(maxlen=EPOCHS + 1)
        # Before this time no value of a past expires.
        self._due = dict.fromkeys(self._tables, -inf)
        self.left_out = 0
        """Figures since the last `forget` that were not recorded because a table was full."""

    def record(self, past: Past[Any], names: Names, value: Any, now: float) -> None:
        """Record a figure that was reported in the epoch of the Unix second `now`.

        The first value of an epoch is kept. ValueError for a value of the wrong type.
        """
        if not self._tables[past].record(names, value, now):
            self.left_out += 1

    def of(self, past: Past[R], names: Names, now: float) -> R:
        """What is recorded of a noun; Missing if there is no record at `now`."""
        found = self._tables[past].read(names, now)
        if found is None:
            raise Missing(past.name, names[-1])
        return found  # type: ignore[no-any-return]

    def forget(self, now: float) -> None:
        """Begin an epoch: drop nouns reported neither within `keep` nor in the last epochs."""
        if self._epochs and now < self._epochs[-1]:  # The clock was set back.
            self._epochs.clear()
            self._due = dict.fromkeys(self._tables, -inf)
        self._epochs.append(now)
        self.left_out = 0
        for past, table in self._tables.items():
            table.oldest = min(now - past.keep, self._epochs[0])
            # Dropping iterates over all nouns, so it is not done in each epoch.
            if len(self._epochs) > EPOCHS and now > self._due[past]:
                self._due[past] = min(table.drop(now), now) + past.keep

    def plain(self) -> Remembered:
        """The whole history as plain data that can be written to a file."""
        return Remembered(
            changes={past.key: levels.plain() for past, levels in self._levels.items()},
            samples={past.key: rows.plain() for past, rows in self._rows.items()},
            epochs=list(self._epochs),
        )

    def restore(self, remembered: Remembered, now: float) -> None:
        """Load what `plain` returned; `now` is the present Unix second.

        What is damaged, of the future, or last reported longer ago than it is kept is left out.
        """
        epochs = [at for at in remembered.epochs[-EPOCHS - 1 :] if isfinite(at) and at <= now]
        self._epochs.extend(sorted(epochs))
        lasted = self._epochs[-1] - self._epochs[0] if epochs else 0.0
        for past, levels in self._levels.items():
            rows = remembered.changes.get(past.key, ())
            levels.restore(rows, now - max(past.keep, lasted), now)
        for past, points in self._rows.items():
            series = remembered.samples.get(past.key, ())
            points.restore(series, now - max(past.keep, lasted), now)

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))


def _fits(value: Any) -> bool:
    """Whether it is the same value after it was written as JSON and read again."""
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, float):
            fits = isfinite(one)
        else:
            fits = isinstance(one, str) or (isinstance(one, int) and -(2**63) <= one < 2**63)
        if not fits:
            return False
    return True


def _thawed(value: Any) -> Any:
    """The value with lists turned into tuples, as JSON has only lists."""
    if isinstance(value, (list, tuple)):
        return tuple([_thawed(one) for one in value])
    return value


def _in_order(level: Level) -> bool:
    """Whether its times are valid: finite and in order."""
    if len(level.times) % 8:
        return False
    times = (level.first, *level.changed(), level.told)
    return all(map(isfinite, times)) and all(a <= b for a, b in pairwise(times))


def _whole(series: Series) -> bool:
    """Whether its packed values are valid: of the right sizes, finite and in order."""
    sizes = (len(series.points) % _SIZE, len(series.falls) % _SIZE)
    if any(sizes) or not series.points or len(series.counts) != 8 * len(series.parts):
        return False
    figures = (*_unpack(series.points), *_unpack(series.falls), *_unpack(series.counts))
    at = _unpack(series.points)[::2]
    return all(map(isfinite, figures)) and all(a < b for a, b in pairwise(at))


def _told(row: bytes) -> float:
    at: float = _TIME.unpack_from(row, -_SIZE)[0]
    return at


def _pack(figures: Iterable[float]) -> bytes:
    figures = list(figures)
    return struct.pack(f"<{len(figures)}d", *figures)


def _unpack(packed: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(packed) // 8}d", packed)
