"""History: past values of figures, kept from epoch to epoch so that checks can compare.

A figure is recorded only in an epoch in which it was reported, so only reported values are
compared: a lost reply is not a change, and a server that did not reply for a while does not get a
wrong rate. Values are kept by stable names. A counter that falls was reset to zero.

There may be a hundred thousand nouns of a kind: the values of each are kept as bytes and Structs
that the garbage collector does not track.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from math import inf, isfinite
from typing import Any, Protocol

from msgspec import Struct

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model.changes import Level, Levels
from nats_insights.model.past import Past, R
from nats_insights.model.samples import Rows, Series

# Nouns of one past; those beyond the limit are only counted.
MOST = 200_000
# A noun that was reported in one of this many last epochs is kept, however long these took.
EPOCHS = 3


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


class History:
    """The recorded values of the nouns, for each past."""

    def __init__(self, pasts: Iterable[Past[Any]] = (), most: int = MOST) -> None:
        self._most = most
        self._levels: dict[Past[Any], Levels] = {}
        self._rows: dict[Past[Any], Rows] = {}
        # Before this time no value of a past expires.
        self._due: dict[Past[Any], float] = {}
        self._epochs: deque[float] = deque(maxlen=EPOCHS + 1)
        self.left_out = 0
        """Figures since the last `forget` that were not recorded because a table was full."""
        self.keep(pasts)

    def keep(self, pasts: Iterable[Past[Any]]) -> None:
        """Record these figures from now on; what is recorded of others is dropped."""
        levels, rows = self._levels, self._rows
        self._levels, self._rows = {}, {}
        for past in pasts:
            if past.every:
                self._rows[past] = rows[past] if past in rows else Rows(past, self._most)
            else:
                self._levels[past] = levels[past] if past in levels else Levels(past, self._most)
        self._tables: dict[Past[Any], _Table] = {**self._levels, **self._rows}
        self._due = {past: self._due.get(past, -inf) for past in self._tables}

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
            changes={key: list(rows) for key, rows in self.changes()},
            samples={key: list(rows) for key, rows in self.samples()},
            epochs=self.epochs,
        )

    @property
    def epochs(self) -> list[float]:
        """The Unix seconds of the last epochs."""
        return list(self._epochs)

    def changes(self) -> Iterator[tuple[str, Iterator[tuple[Names, Level]]]]:
        """The same in parts, which must be read before the next epoch."""
        for past, levels in self._levels.items():
            yield past.key, levels.plain()

    def samples(self) -> Iterator[tuple[str, Iterator[tuple[Names, Series]]]]:
        """The same of the other pasts."""
        for past, rows in self._rows.items():
            yield past.key, rows.plain()

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
