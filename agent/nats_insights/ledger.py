"""A ledger: what one fold remembers of each server, and the sums over all of them.

The keys are mostly the same on many servers. Each is held once, and what a server holds is by its
number: a million connections take some megabytes. A sum is never made anew: a server that is swept
again takes its old figures along.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .fold import CAP, Tally
from .roster import Names


class _Numbers(dict[Any, int]):
    """A number for each key; a new key takes a free one."""

    def __init__(self) -> None:
        self.keys_of: list[Any] = []
        self.sums: list[int] = []
        self.free: list[int] = []

    def __missing__(self, key: Any) -> int:
        if isinstance(key, tuple):
            # Many users share an account. One string for all of them is found in the cache.
            key = tuple(sys.intern(name) if isinstance(name, str) else name for name in key)
        if self.free:
            number = self.free.pop()
            self.keys_of[number] = key
        else:
            number = len(self.keys_of)
            self.keys_of.append(key)
            self.sums.append(0)
        self[key] = number
        return number


class Part:
    """What one server holds: `part[key]` is its count of a key."""

    __slots__ = ("_counts", "_held", "_numbers", "dropped", "error")

    def __init__(self, tally: Tally, numbers: _Numbers) -> None:
        self._numbers = numbers
        self._held = array("I", map(numbers.__getitem__, tally))
        self._counts = array("q", tally.values())
        self.error, self.dropped = tally.error, tally.dropped

    def __getitem__(self, key: Any) -> int:
        number = self._numbers.get(key)
        if number is None:
            return 0
        # Searched as bytes, a thousand numbers take a microsecond.
        size, held = self._held.itemsize, bytes(self._held)
        wanted = bytes(array("I", [number]))
        at = held.find(wanted)
        while at > 0 and at % size:  # What begins within a number is none.
            at = held.find(wanted, at + 1)
        return 0 if at < 0 else self._counts[at // size]

    def __len__(self) -> int:
        return len(self._held)

    def numbered(self) -> Iterator[tuple[int, int]]:
        """The number and the count of each key."""
        return zip(self._held, self._counts, strict=True)

    def items(self) -> Iterator[tuple[Any, int]]:
        """Each key that is still known, and its count."""
        keys = self._numbers.keys_of
        known = ((keys[number], count) for number, count in self.numbered())
        return ((key, count) for key, count in known if key is not None)


class Ledger:
    """One fold over all servers: `ledger[key]` is the sum of a key.

    At most `2 * cap` keys are held for any time; beyond that the rarest go. `error` is what the sum
    of any key may lack at most, `dropped` how many keys have gone.
    """

    def __init__(self, cap: int = CAP) -> None:
        self.cap = cap
        self._numbers = _Numbers()
        self._parts: dict[Names, Part] = {}
        self._error = self._dropped = 0

    @property
    def error(self) -> int:
        return self._error + sum(part.error for part in self._parts.values())

    @property
    def dropped(self) -> int:
        return self._dropped + sum(part.dropped for part in self._parts.values())

    @property
    def overflowed(self) -> bool:
        """Whether the sums lack what no later sweep can add: it must be made anew."""
        return self._dropped > 0

    def __getitem__(self, key: Any) -> int:
        number = self._numbers.get(key)
        return 0 if number is None else self._numbers.sums[number]

    def __len__(self) -> int:
        return len(self._numbers)

    def items(self) -> Iterator[tuple[Any, int]]:
        """Each key, and its sum."""
        sums = self._numbers.sums
        return ((key, sums[number]) for key, number in self._numbers.items())

    def most(self) -> int:
        """The largest sum, 0 where there is none."""
        return max(self._numbers.sums, default=0)

    def part(self, server: Names) -> Part | None:
        """What this server holds, None if it was never put."""
        return self._parts.get(server)

    def put(self, server: Names, tally: Tally) -> None:
        """What this server holds from now on."""
        numbers = self._numbers
        for key in [key for key, count in tally.items() if not count]:
            del tally[key]  # Whose sum is nothing has no number.
        part, old = Part(tally, numbers), self._parts.get(server)
        for number, count in part.numbered():
            numbers.sums[number] += count
        self._parts[server] = part
        if old is not None:
            self._subtract(old)
        self._bound()

    def drop(self, server: Names) -> None:
        """This server holds nothing any more."""
        if (part := self._parts.pop(server, None)) is not None:
            self._subtract(part)

    def _subtract(self, part: Part) -> None:
        numbers = self._numbers
        for number, count in part.numbered():
            left = numbers.sums[number] = numbers.sums[number] - count
            if left == 0 and (key := numbers.keys_of[number]) is not None:
                del numbers[key]
                numbers.keys_of[number] = None
                numbers.free.append(number)

    def _bound(self) -> None:
        numbers = self._numbers
        if len(numbers) <= 2 * self.cap:
            return
        floor, kept = 0, len(numbers)
        sums = [numbers.sums[number] for number in numbers.values()]
        for count, keys in sorted(Counter(sums).items()):
            if kept <= self.cap:
                break
            floor, kept = count, kept - keys
        self._error += floor
        self._dropped += len(numbers) - kept
        for key, number in list(numbers.items()):
            if numbers.sums[number] <= floor:
                # Parts still name the number, so nobody else gets it before the ledger goes.
                del numbers[key]
                numbers.keys_of[number] = None
                numbers.sums[number] = 0
