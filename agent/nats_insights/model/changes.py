"""Changes: the last value of a figure, and when it differed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from itertools import pairwise
from math import inf, isfinite
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from nats_insights.config import span
from nats_insights.errors import TooSoon
from nats_insights.facts import Names
from nats_insights.model.past import Past, pack, refuse, thawed, unfit, unpack, window

# Times of change that are kept for one noun.
MOST_CHANGES = 16


def changes(*, keep: float) -> Callable[[Callable[[Any], Any]], Past[Changes]]:
    """Declare a figure whose last value and times of change are kept.

    It is a number, a string, a bool or a tuple of these. Changes are kept for `keep` seconds.
    """
    refuse(keep)

    def declare(figure: Callable[[Any], Any]) -> Past[Changes]:
        return Past(figure, keep, 0.0)

    return declare


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
        self.times = pack([*self.changed(), now][-MOST_CHANGES:])
        self.before, self.value = self.value, value

    def changed(self) -> tuple[float, ...]:
        """When it changed, the latest last."""
        return unpack(self.times)

    def rewind(self, now: float) -> None:
        """After the clock was set back: limit all times to now."""
        self.first = min(self.first, now)
        self.times = pack([min(at, now) for at in self.changed()])


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
        window(self.past, seconds)
        return len(self._since(seconds))

    def same_for(self, seconds: float) -> bool:
        """Whether it did not change for `seconds`; TooSoon while its past is shorter than that."""
        if self.times_within(seconds):
            return False
        if self.level.told - self.since < seconds:
            raise TooSoon(self.past.name, self.whose, f"{span(seconds)} of history")
        return True

    def _since(self, seconds: float) -> list[float]:
        level = self.level
        if level.first == level.told:
            raise TooSoon(self.past.name, self.whose, "a second epoch")
        return [at for at in level.changed() if level.told - at <= seconds]


class Levels(dict[Names, Level]):
    """What is kept of each noun for one past."""

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
            raise unfit(self.past, value)

    def read(self, names: Names, now: float) -> Changes | None:
        level = self.get(names)
        if level is None or level.told != now:
            return None
        return Changes(self.past, names[-1], level)

    def drop(self, now: float) -> float:
        for names in [n for n, level in self.items() if not self.oldest <= level.told <= now]:
            del self[names]
        return min((level.told for level in self.values()), default=inf)

    def plain(self) -> Iterator[tuple[Names, Level]]:
        for names, level in self.items():
            yield names, copy(level)

    def restore(self, rows: Iterable[tuple[Names, Level]], oldest: float, now: float) -> None:
        for names, level in rows:
            if len(self) >= self.most:
                break
            value, before = thawed(level.value), thawed(level.before)
            if oldest <= level.told <= now and _in_order(level) and _fits(value) and _fits(before):
                self[names] = replace(level, value=value, before=before)


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


def _in_order(level: Level) -> bool:
    """Whether its times are valid: finite and in order."""
    if len(level.times) % 8:
        return False
    times = (level.first, *level.changed(), level.told)
    return all(map(isfinite, times)) and all(a <= b for a, b in pairwise(times))
