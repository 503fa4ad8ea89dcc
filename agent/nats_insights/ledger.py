"""A ledger: what one fold remembers of each server, and the sums over all of them.

What a server holds is kept by the numbers of its keys: a million connections take some megabytes. A
sum is never made anew: a server that is swept again takes its old figures along.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

from .fold import CAP, Numbers, Tally, rarest
from .roster import Names


class Part:
    """What one server holds: `part[key]` is its count of a key."""

    __slots__ = ("_counts", "_held", "_numbers", "dropped", "error")

    def __init__(self, tally: Tally) -> None:
        self._numbers = tally.numbers
        self._held = array("I", tally.counts)
        self._counts = array("q", tally.counts.values())
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
        self.numbers = Numbers()
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
        number = self.numbers.get(key)
        return 0 if number is None else self.numbers.sums[number]

    def __len__(self) -> int:
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[tuple[Any, int]]:
        """Each key that somebody holds, and its sum."""
        sums = self.numbers.sums
        return ((key, sums[number]) for key, number in self.numbers.items() if sums[number])

    def most(self) -> int:
        """The largest sum, 0 where there is none."""
        return max(self.numbers.sums, default=0)

    def part(self, server: Names) -> Part | None:
        """What this server holds, None if it was never put."""
        return self._parts.get(server)

    def put(self, server: Names, tally: Tally) -> None:
        """What this server holds from now on."""
        if tally.numbers is not self.numbers:
            tally = self._renumbered(tally)
        if not all(tally.counts.values()):  # Whose sum is nothing has no number.
            tally.counts = +tally.counts
        sums = self.numbers.sums
        for number, count in tally.counts.items():
            sums[number] += count
        old, self._parts[server] = self._parts.get(server), Part(tally)
        if old is not None:
            self._subtract(old)
        self._bound()

    def drop(self, server: Names) -> None:
        """This server holds nothing any more."""
        if (part := self._parts.pop(server, None)) is not None:
            self._subtract(part)

    def release(self) -> None:
        """Take back the numbers of keys that nobody holds; never while a server is swept."""
        numbers = self.numbers
        for number, total in enumerate(numbers.sums):
            if not total and (key := numbers.keys_of[number]) is not None:
                del numbers[key]
                numbers.keys_of[number] = None
                numbers.free.append(number)

    def _renumbered(self, tally: Tally) -> Tally:
        own = Tally(self.numbers)
        own.error, own.dropped = tally.error, tally.dropped
        for key, count in tally.items():
            own[key] = count
        return own

    def _subtract(self, part: Part) -> None:
        sums = self.numbers.sums
        for number, count in part.numbered():
            sums[number] -= count

    def _bound(self) -> None:
        numbers = self.numbers
        if len(numbers) <= 2 * self.cap:
            return
        held = [number for number in numbers.values() if numbers.sums[number] > 0]
        if len(held) <= 2 * self.cap:  # The others are those of sweeps that have not ended.
            return
        floor, kept = rarest([numbers.sums[number] for number in held], self.cap)
        self._error += floor
        self._dropped += len(held) - kept
        for number in held:
            if numbers.sums[number] <= floor:
                # Parts still name the number, so nobody else gets it before the ledger goes.
                del numbers[numbers.keys_of[number]]
                numbers.keys_of[number] = None
                numbers.sums[number] = 0
