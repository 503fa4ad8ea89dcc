"""The window: what is owed never exceeds it, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from nats_insights.gather.window import Window


class Holder:
    """Holds a part of a window in a task of its own, from its turn until it is let go."""

    def __init__(self, window: Window, weight: int) -> None:
        self.held = asyncio.Event()
        self._let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(window, weight))

    async def _hold(self, window: Window, weight: int) -> None:
        async with window.take(weight):
            self.held.set()
            await self._let_go.wait()

    async def go(self) -> None:
        """Let go, or stop waiting."""
        self._let_go.set()
        if not self.held.is_set():
            self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def ready() -> None:
    """Let every task run until it has to wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def holders(window: Window, *weights: int) -> list[Holder]:
    """Who asks for so much, one after another."""
    made = [Holder(window, weight) for weight in weights]
    await ready()
    return made


def holding(made: list[Holder]) -> list[bool]:
    """Who has had its turn."""
    return [one.held.is_set() for one in made]


FITS = {
    "all of them": ((4, 4, 2), [True, True, True]),
    "until it is full": ((6, 4, 1), [True, True, False]),
    "in turn, though a later one would fit": ((6, 5, 1), [True, False, False]),
    "one that is larger than the window": ((99,), [True]),
    "nobody beside it": ((99, 1), [True, False]),
    "what weighs nothing": ((10, 0), [True, True]),
}


@pytest.mark.parametrize(("weights", "expected"), FITS.values(), ids=FITS)
async def test_a_window_lets_in(weights, expected):
    made = await holders(Window(10), *weights)
    assert holding(made) == expected
    for one in made:
        await one.go()


async def test_who_waits_gets_its_turn_in_order():
    first, second, third = made = await holders(window := Window(10), 10, 6, 4)
    await first.go()
    await ready()
    assert (holding([second, third]), window.taken) == ([True, True], 10)
    for one in made:
        await one.go()
    assert window.taken == 0


async def test_nothing_is_owed_in_the_end_and_the_peak_is_told():
    window = Window(10)
    made = await holders(window, 3, 4, 5, 99, 1)
    for one in made:
        one._let_go.set()
    await asyncio.gather(*(one.task for one in made))
    assert (window.taken, window.peak) == (0, 10)


async def test_who_fails_gives_back_what_it_held():
    window = Window(10)
    with pytest.raises(ZeroDivisionError):
        async with window.take(7):
            raise ZeroDivisionError
    assert window.taken == 0


async def test_who_stops_waiting_is_passed_over():
    first, second, third = await holders(window := Window(10), 10, 10, 10)
    await second.go()
    await first.go()
    await ready()
    assert (third.held.is_set(), window.taken) == (True, 10)
    await third.go()
    assert window.taken == 0


async def test_who_is_cancelled_just_as_its_turn_comes_gives_it_back():
    window = Window(10)
    async with window.take(10):
        first, second = await holders(window, 10, 10)
    first.task.cancel()  # Its turn has come, but it has not run since.
    await ready()
    assert (second.held.is_set(), window.taken) == (True, 10)
    await second.go()
    assert window.taken == 0


async def test_who_stops_waiting_does_not_block_those_behind_it():
    first, second, third = made = await holders(window := Window(10), 6, 6, 4)
    await second.go()
    await ready()
    assert holding([first, third]) == [True, True]
    for one in made:
        await one.go()
    assert window.taken == 0


# --- Its size.


def test_it_is_halved_by_a_cut_off_and_grows_back():
    window = Window(16 * 2**20)
    window.halve()
    window.halve()
    sizes = [window.size]
    while window.size < window.full:
        window.grow()
        sizes.append(window.size)
    assert sizes == [(4 + n) * 2**20 for n in range(13)]
    window.grow()
    assert window.size == 16 * 2**20


def test_it_never_vanishes():
    window = Window(2**20)
    for _ in range(100):
        window.halve()
    assert window.size == 64 * 1024


@pytest.mark.parametrize(
    ("max_pending", "size"),
    [(64 * 2**20, 16 * 2**20), (8 * 2**20, 3 * 2**20), (1, 64 * 1024), (0, 16 * 2**20)],
)
def test_it_fits_what_the_server_may_owe(max_pending, size):
    window = Window(16 * 2**20)
    window.fit(max_pending)
    window.grow()
    assert window.size == size


def test_the_first_sweep_already_asks_for_no_more_than_a_server_may_owe():
    window = Window(16 * 2**20)
    window.fit(8 * 2**20)
    assert window.size == 3 * 2**20


def test_a_window_that_was_halved_is_no_larger_for_a_server_that_allows_more():
    window = Window(16 * 2**20)
    window.halve()
    window.fit(64 * 2**20)
    assert window.size == 8 * 2**20


def test_it_is_as_large_as_wanted_again_on_another_server():
    window = Window(16 * 2**20)
    window.fit(2**20)
    window.fit(64 * 2**20)
    for _ in range(16):
        window.grow()
    assert window.size == 16 * 2**20


def test_it_is_resized_at_once_to_less_and_grows_to_more():
    window = Window(16 * 2**20)
    window.resize(8 * 2**20)
    assert window.size == 8 * 2**20
    window.resize(16 * 2**20)
    sizes = [window.size]
    for _ in range(9):
        window.grow()
        sizes.append(window.size)
    assert (sizes[:2], sizes[-1]) == ([8 * 2**20, 9 * 2**20], 16 * 2**20)


async def test_who_holds_a_part_goes_on_when_it_is_halved():
    window = Window(2**20)
    async with window.take(2**20):
        window.halve()
        waits = Holder(window, 2**19)
        await ready()
        assert not waits.held.is_set()
    await ready()
    assert (waits.held.is_set(), window.taken) == (True, 2**19)
    await waits.go()


async def test_who_waits_for_more_than_is_left_of_it_goes_alone():
    window = Window(2**20)
    async with window.take(2**20):
        waits = Holder(window, 2**20)
        await ready()
        window.halve()
    await ready()
    assert (waits.held.is_set(), window.taken) == (True, 2**20)
    await waits.go()
    assert window.taken == 0
