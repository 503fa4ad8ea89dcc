"""A ledger: the counts of one fold for each server, and the sums over all servers.

The counts of a server are stored by key numbers: a million connections take some megabytes. Sums
are updated, not recomputed: when a server is swept again, its old counts are subtracted.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Collection, Generator, Iterator
from typing import Any

from msgspec import Struct

from nats_insights.facts import Names
from nats_insights.model.fold import CAP, Tally, rarest, short_key

_SIZE = array("I").itemsize
# A part with more keys than _LARGE is searched _MANY times at most: after that it gets an index.
_LARGE = 4096
_MANY = 64
# Keys that get a number, or are dropped, between two steps.
_AT_A_STEP = 2048


class Numbers(dict[Any, int]):
    """A number for each key, assigned on first use: `keys_of[number]` is the key.

    Keys are the same on many servers, so each is stored once. `sums[number]` is for the ledger. A
    key with a long name in it has the number of its short form, which other pages may contain;
    `shortened` counts these cases.
    """

    def __init__(self) -> None:
        self.keys_of: list[Any] = []
        self.sums: list[int] = []
        self.shortened = 0
        # The first names of keys, such as accounts, stored once for all keys that begin with one.
        self._first_names: dict[Any, Any] = {}
        self._free: list[int] = []

    def __missing__(self, key: Any) -> int:
        short = short_key(key)
        if short is not key:
            self.shortened += 1
            return self[short]
        if self._free:
            number = self._free.pop()
            self.keys_of[number] = key
        else:
            number = len(self.keys_of)
            self.keys_of.append(key)
            self.sums.append(0)
        self[key] = number
        return number

    def of(self, keys: Collection[Any]) -> array[int]:
        """The number of each of these keys, which are all different."""
        found: list[Any] = list(map(self.get, keys))
        if None in found:
            new = [key for key, number in zip(keys, found, strict=True) if number is None]
            given = iter(self._learn(new))
            found = [next(given) if number is None else number for number in found]
        return array("I", found)

    def _learn(self, new: list[Any]) -> list[int]:
        """Numbers for keys that have none, in bulk if no key is long and no number is free."""
        if self._free or any(short_key(key) is not key for key in new):
            return [self[key] for key in new]
        if len(self._first_names) > CAP:
            self._first_names = {}
        share = self._first_names.setdefault
        new = [(share(k[0], k[0]), *k[1:]) if type(k) is tuple and k else k for k in new]
        known = len(self.keys_of)
        given = list(range(known, known + len(new)))
        self.update(zip(new, given, strict=True))
        self.keys_of += new
        self.sums += [0] * len(new)
        return given

    def forget(self, number: int) -> None:
        """Remove the key of this number."""
        del self[self.keys_of[number]]
        self.keys_of[number] = None
        self.sums[number] = 0

    def free(self, number: int) -> None:
        """Remove the key of this number, and allow the number for another key."""
        self.forget(number)
        self._free.append(number)


class Part(Struct, frozen=True, gc=False):
    """The counts of one server: `part[key]` is its count of a key.

    `held` and `counts` are arrays of the same length, as bytes: the number of a key, and its count.
    The garbage collector does not track bytes and Structs like this one, and there may be many.
    """

    numbers: Numbers
    held: bytes
    counts: bytes
    error: int = 0
    dropped: int = 0

    def __getitem__(self, key: Any) -> int:
        number = self.numbers.get(key)
        return 0 if number is None else self.count(number)

    def __len__(self) -> int:
        return len(self.held) // _SIZE

    def count(self, number: int) -> int:
        """The count of the key that has this number."""
        wanted = number.to_bytes(_SIZE, sys.byteorder)
        at = self.held.find(wanted)
        while at > 0 and at % _SIZE:  # A match across two numbers.
            at = self.held.find(wanted, at + 1)
        return 0 if at < 0 else memoryview(self.counts).cast("q")[at // _SIZE]

    def numbered(self) -> Iterator[tuple[int, int]]:
        """The number and the count of each key."""
        held, counts = memoryview(self.held).cast("I"), memoryview(self.counts).cast("q")
        return zip(held, counts, strict=True)

    def items(self) -> Iterator[tuple[Any, int]]:
        """Each key that is still known, and its count."""
        keys = self.numbers.keys_of
        known = ((keys[number], count) for number, count in self.numbered())
        return ((key, count) for key, count in known if key is not None)


class Ledger:
    """One fold over all servers: `ledger[key]` is the sum of a key.

    At most `2 * cap` keys are kept; beyond that the rarest are dropped. `error` is how much the sum
    of any key may be too low at most, `dropped` how many keys were dropped.
    """

    def __init__(self, cap: int = CAP) -> None:
        self.cap = cap
        self.numbers = Numbers()
        self._parts: dict[Names, Part] = {}
        self._searched: Counter[Names] = Counter()
        self._indexes: dict[Names, dict[int, int]] = {}
        self._error = self._dropped = 0
        # What was asked for of the sums as they are.
        self._most: int | None = None
        self._above: dict[float, list[int]] = {}

    @property
    def error(self) -> int:
        return self._error + sum(part.error for part in self._parts.values())

    @property
    def dropped(self) -> int:
        return self._dropped + sum(part.dropped for part in self._parts.values())

    @property
    def overflowed(self) -> bool:
        """Whether keys were dropped, which no later sweep corrects: it must be rebuilt."""
        return self._dropped > 0

    def __getitem__(self, key: Any) -> int:
        number = self.numbers.get(key)
        return 0 if number is None else self.numbers.sums[number]

    def __contains__(self, key: Any) -> bool:
        return key in self.numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def items(self) -> Iterator[tuple[Any, int]]:
        """Each key that any server holds, and its sum."""
        sums = self.numbers.sums
        return ((key, sums[number]) for key, number in self.numbers.items())

    def above(self, figure: float) -> Iterator[tuple[Any, int]]:
        """Each key whose sum exceeds `figure`, and the sum; fast with a million keys."""
        sums, keys = self.numbers.sums, self.numbers.keys_of
        if self.most() <= figure:
            return
        if figure not in self._above:
            self._above[figure] = [n for n, count in enumerate(sums) if count > figure]
        for number in self._above[figure]:
            if (key := keys[number]) is not None:
                yield key, sums[number]

    def most(self) -> int:
        """The largest sum, 0 if there is none."""
        if self._most is None:
            self._most = max(self.numbers.sums, default=0)
        return self._most

    def part(self, server: Names) -> Part | None:
        """The counts of this server, None if it was never put."""
        return self._parts.get(server)

    def held_by(self, key: Any) -> dict[Names, int]:
        """The count of a key on each server, without the servers that have none."""
        number = self.numbers.get(key)
        if number is None:
            return {}
        return {
            names: n
            for names, part in self._parts.items()
            if (n := self._count(names, part, number))
        }

    def put(self, server: Names, tally: Tally) -> None:
        """Replace the counts of this server."""
        for _ in self.putting(server, tally):
            pass

    def putting(self, server: Names, tally: Tally) -> Generator[None, None, None]:
        """The same in steps of some milliseconds; nothing else may use the ledger meanwhile.

        If it is closed before its end, the ledger has the former counts, or the new ones.
        """
        if not all(tally.values()):
            for key in [key for key, count in tally.items() if not count]:
                del tally[key]  # A key whose sum is 0 has no number.
        sums, numbers = self.numbers.sums, self.numbers
        before = numbers.shortened
        held, counts, keys = array("I"), array("q", tally.values()), list(tally)
        try:
            for at in range(0, len(keys), _AT_A_STEP):
                held += numbers.of(keys[at : at + _AT_A_STEP])
                yield
        except GeneratorExit:
            # New keys have a number, and no sum.
            self._subtract(Part(numbers, bytes(held), bytes(len(held) * counts.itemsize)))
            raise
        if numbers.shortened != before:  # Several of its keys may have one short form.
            once: Counter[int] = Counter()
            for number, count in zip(held, counts, strict=True):
                once[number] += count
            held, counts = array("I", once), array("q", once.values())
        new = Part(numbers, bytes(held), bytes(counts), tally.error, tally.dropped)
        for number, count in new.numbered():
            sums[number] += count
        self._forget_answers()
        old, self._parts[server] = self._parts.get(server), new
        self._forget_index(server)
        if old is not None:
            self._subtract(old)
        yield from self._bound()

    def drop(self, server: Names) -> None:
        """Remove the counts of this server."""
        if (part := self._parts.pop(server, None)) is not None:
            self._forget_answers()
            self._forget_index(server)
            self._subtract(part)

    def _count(self, server: Names, part: Part, number: int) -> int:
        index = self._indexes.get(server)
        if index is None:
            if len(part) <= _LARGE:
                return part.count(number)
            self._searched[server] += 1
            if self._searched[server] <= _MANY:
                return part.count(number)
            index = self._indexes[server] = dict(part.numbered())
        return index.get(number, 0)

    def _forget_answers(self) -> None:
        self._most = None
        self._above.clear()

    def _forget_index(self, server: Names) -> None:
        self._indexes.pop(server, None)
        self._searched.pop(server, None)

    def _subtract(self, part: Part) -> None:
        sums, keys_of = self.numbers.sums, self.numbers.keys_of
        for number, count in part.numbered():
            sums[number] -= count
            if not sums[number] and keys_of[number] is not None:
                self.numbers.free(number)

    def _bound(self) -> Generator[None, None, None]:
        numbers, sums = self.numbers, self.numbers.sums
        if len(numbers) <= 2 * self.cap:
            return
        floor, kept = rarest([sums[number] for number in numbers.values()], self.cap)
        self._error += floor
        self._dropped += len(numbers) - kept
        yield
        # Parts still contain these numbers, so they are not reused while the ledger exists.
        rare = [number for number in numbers.values() if sums[number] <= floor]
        for count, number in enumerate(rare):
            if count % _AT_A_STEP == 0:
                yield
            numbers.forget(number)
