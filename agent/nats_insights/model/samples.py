"""Samples: the values of a figure at points in time, for rates, growth and trends."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from math import inf, isfinite
from statistics import linear_regression, median_low
from typing import Any

from msgspec import Struct

from nats_insights.config import span
from nats_insights.errors import DeclarationError, TooSoon
from nats_insights.facts import Names
from nats_insights.model.past import Past, pack, refuse, thawed, unfit, unpack, window

MOST_POINTS = 1024
# Epochs are not exact: a new point is due when this share of the interval has passed.
_NEARLY = 0.9
# How many parts that are no longer reported a noun may keep, beside as many as are reported.
SPARE_PARTS = 64
_POINT = struct.Struct("<dd")
_SIZE = _POINT.size
_TIME = struct.Struct("<d")


def samples(*, keep: float, every: float) -> Callable[[Callable[[Any], Any]], Past[Samples]]:
    """Declare a figure whose points are kept: for `keep` seconds, `every` seconds apart.

    It is a number, or a mapping of part to number, such as a counter of each server. A mapping is
    kept as the sum of the growth of each part since it was first reported: a part that is missing
    or falls does not lower the sum. A part whose counter has not started must be reported as 0,
    else its first value is not counted as growth. Several nouns may share one mapping, which must
    not be changed afterwards.
    """
    refuse(keep)
    if not 0 < every <= keep or keep / every > MOST_POINTS:
        raise DeclarationError(f"samples every {every:g} s for {keep:g} s: 1 to {MOST_POINTS}")

    def declare(figure: Callable[[Any], Any]) -> Past[Samples]:
        return Past(figure, keep, every)

    return declare


class Samples(Struct, frozen=True, gc=False):
    """The points of a figure, the present one last; TooSoon until they cover the window.

    Windows end at the present epoch, in seconds, at most the `keep` of the past, else ValueError.
    A window begins at the point nearest to its nominal start: it covers more where epochs were
    lost or are longer than the window, and never less than nine tenths of it.
    """

    past: Past[Samples]
    whose: str
    at: tuple[float, ...]
    figures: tuple[float, ...]
    falls: bytes

    @property
    def now(self) -> float:
        """Its value in this epoch."""
        return self.figures[-1]

    def span(self, seconds: float) -> float:
        """How many seconds the window covers."""
        base = self._base(seconds)
        at = self.at
        return at[-1] - at[base]

    @property
    def known_for(self) -> float:
        """The longest window that the points cover, in seconds; TooSoon with fewer than two."""
        at = self.at
        if len(at) < 2:
            raise self._too_soon("a second epoch")
        return min(at[-1] - at[0], self.past.keep)

    def growth(self, seconds: float) -> float:
        """How much a counter grew within the window; a fall counts as a reset to zero."""
        return self._grown(self._base(seconds))

    def rate(self, seconds: float) -> float:
        """How much a counter grew within the window, per second."""
        base = self._base(seconds)
        at = self.at
        return self._grown(base) / (at[-1] - at[base])

    def difference(self, seconds: float) -> float:
        """The present value minus the value at the start of the window; a gauge may fall."""
        base = self._base(seconds)
        return self.figures[-1] - self.figures[base]

    def values(self, seconds: float, points: int = 2) -> tuple[float, ...]:
        """The value at each point of the window, the earliest first.

        TooSoon with fewer than `points` points.
        """
        base = self._base(seconds)
        values = self.figures[base:]
        if len(values) < points:
            raise self._too_soon(f"{points} points")
        return values

    def unbroken(self, seconds: float, points: int = 5) -> tuple[float, ...]:
        """The same if it was reported throughout the window, else TooSoon.

        No step between two points may be longer than 1.5 times the median step: in a longer gap the
        figure may have had any value.
        """
        values = self.values(seconds, points)
        steps = [now - then for then, now in pairwise(self.at[-len(values) :])]
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
        at, values = self.at, self.figures
        if len(at) < max(2, points):
            raise self._too_soon(f"{points} points" if points > 2 else "a second epoch")
        return linear_regression(at, values).slope

    def _base(self, seconds: float) -> int:
        """The index of the point at which the window begins."""
        window(self.past, seconds)
        at = self.at
        if len(at) < 2:
            raise self._too_soon("a second epoch")
        begin, latest = at[-1] - seconds, at[-1] - seconds * _NEARLY
        bases = bisect_right(at, latest)
        if not bases:
            raise self._too_soon(f"{span(seconds)} of history")
        base = bisect_left(at, begin, hi=bases)
        if base == bases or (base and begin - at[base - 1] <= at[base] - begin):
            base -= 1
        return base

    def _grown(self, base: int) -> float:
        begin, values = self.at[base], self.figures
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


class Row(Struct, gc=False):
    """The points of one noun: `kept` are the earlier ones, packed, the last of them of `before`.

    `at` and `value` are the present point.
    """

    at: float
    value: float
    kept: bytes = b""
    before: float = -inf

    @property
    def points(self) -> bytes:
        """All points, packed."""
        return self.kept + _POINT.pack(self.at, self.value)

    @property
    def begin(self) -> float:
        """The time of its first point."""
        begin: float = _TIME.unpack_from(self.kept)[0] if self.kept else self.at
        return begin


class Rows(dict[Names, Row]):
    """The points of each noun. The present one is kept when the next one is added, if it is at
    least `every` seconds after the one before it.
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
            self[names] = Row(now, self._figure(names, value, 0.0))
            return True
        if now == row.at:
            return True
        if row.at < self.oldest:
            self._drop(names)
            return self.record(names, value, now)
        value = self._figure(names, value, row.value)
        if now < row.at:  # The clock was set back: the earlier points are not usable.
            self.falls.pop(names, None)
            self[names] = Row(now, value)
            return True
        if row.at - row.before >= self.every:
            self._keep(row, now)
        if value < row.value:
            self._fell(names, row, now)
        row.at, row.value = now, value
        return True

    def _keep(self, row: Row, now: float) -> None:
        """Keep the present point. Of the points that are too old only the latest stays: the longest
        window begins there.
        """
        kept, old = row.kept + _POINT.pack(row.at, row.value), now - self.past.keep
        while len(kept) > _SIZE and _TIME.unpack_from(kept, _SIZE)[0] <= old:
            kept = kept[_SIZE:]
        row.kept, row.before = kept, row.at

    def _fell(self, names: Names, row: Row, now: float) -> None:
        """Merge falls between the same two points, and drop those before the first point."""
        last, begin = row.value, row.begin
        falls = [f for f in _POINT.iter_unpack(self.falls.get(names, b"")) if f[0] > begin]
        if falls and falls[-1][0] > row.before:
            last += falls.pop()[1]
        self.falls[names] = b"".join([_POINT.pack(*fall) for fall in [*falls, (now, last)]])

    def _figure(self, names: Names, value: Any, last: float) -> float:
        if type(value) is int:  # As most figures are.
            return float(value)
        if not isinstance(value, (int, float)):
            return self._total(names, value, last)
        if not isfinite(value):
            raise unfit(self.past, value)
        return float(value)

    def _total(self, names: Names, told: Any, last: float) -> float:
        """The growth of all parts since they were first reported."""
        if told is not self._mapping:
            if not isinstance(told, Mapping) or not all(map(isfinite, told.values())):
                raise unfit(self.past, told)
            packed = tuple(told), pack(told.values())
            # The same object as long as nothing changes: a thousand parts are not compared again.
            self._mapping, self._packed = told, self._packed if packed == self._packed else packed
        before = self._parts_of(names)
        if before is self._packed:
            return last
        parts, counts = before
        if not parts or before == self._packed:  # The first report, or unchanged.
            self.parts[names] = self._packed
            return last
        held = dict(zip(parts, unpack(counts), strict=True))
        for part, now in told.items():
            then = held.get(part, now)
            last += now - then if now >= then else now
        held.update(told)
        if len(held) != len(parts):
            # Parts that are no longer reported must not accumulate.
            held = held if len(held) <= 2 * len(told) + SPARE_PARTS else dict(told)
            parts = tuple(held)
        packed = parts, pack(held.values())
        self.parts[names] = self._packed if packed == self._packed else packed
        return last

    def read(self, names: Names, now: float) -> Samples | None:
        row = self.get(names)
        if row is None or row.at != now:
            return None
        kept = unpack(row.kept)
        at, figures = (*kept[::2], row.at), (*kept[1::2], row.value)
        return Samples(self.past, names[-1], at, figures, self.falls.get(names, b""))

    def drop(self, now: float) -> float:
        for names in [n for n, row in self.items() if not self.oldest <= row.at <= now]:
            self._drop(names)
        return min((row.at for row in self.values()), default=inf)

    def _drop(self, names: Names) -> None:
        del self[names]
        self.falls.pop(names, None)
        self.parts.pop(names, None)

    def plain(self) -> Iterator[tuple[Names, Series]]:
        for names, row in self.items():
            falls = self.falls.get(names, b"")
            yield names, Series(row.points, falls, *self._parts_of(names))

    def _parts_of(self, names: Names) -> tuple[tuple[Any, ...], bytes]:
        return self.parts.get(names, ((), b""))

    def restore(self, rows: Iterable[tuple[Names, Series]], oldest: float, now: float) -> None:
        parts: tuple[Any, ...] | None = None
        mapping: tuple[tuple[Any, ...], bytes] = (), b""
        for names, series in rows:
            if len(self) >= self.most:
                break
            if not _whole(series):
                continue
            row = _row(series.points)
            if not oldest <= row.at <= now:
                continue
            self[names] = row
            if series.falls:
                self.falls[names] = series.falls
            if series.parts:
                # Neighbours may share one mapping of thousands of parts, here as in `_total`.
                if series.parts is not parts or series.counts != mapping[1]:
                    parts, mapping = series.parts, (thawed(series.parts), series.counts)
                self.parts[names] = mapping


def _whole(series: Series) -> bool:
    """Whether its packed values are valid: of the right sizes, finite and in order."""
    sizes = (len(series.points) % _SIZE, len(series.falls) % _SIZE)
    if any(sizes) or not series.points or len(series.counts) != 8 * len(series.parts):
        return False
    figures = (*unpack(series.points), *unpack(series.falls), *unpack(series.counts))
    at = unpack(series.points)[::2]
    return all(map(isfinite, figures)) and all(a < b for a, b in pairwise(at))


def _row(points: bytes) -> Row:
    kept = points[:-_SIZE]
    before = _TIME.unpack_from(kept, -_SIZE)[0] if kept else -inf
    at, value = _POINT.unpack_from(points, -_SIZE)
    return Row(at, value, kept, before)
