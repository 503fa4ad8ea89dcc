"""Steps: long work that lets others have their turn."""

from __future__ import annotations

import asyncio

import pytest

from nats_insights.gather import stepwise as module
from nats_insights.gather.stepwise import at_once, stepwise


def steps(order):
    """Three steps of work, noted as they are done."""
    for number in range(3):
        order.append(number)
        yield
    return "done"


async def others(order):
    """What else there is to do."""
    for _ in range(3):
        order.append("others")
        await asyncio.sleep(0)


def test_all_at_once_is_step_after_step():
    order = []
    assert (at_once(steps(order)), order) == ("done", [0, 1, 2])


@pytest.mark.parametrize(
    ("breath", "expected"),
    [
        (0.0, [0, "others", 1, "others", 2, "others"]),
        (float("inf"), [0, 1, 2, "others", "others", "others"]),
    ],
)
async def test_others_have_their_turn_when_the_time_is_up(monkeypatch, breath, expected):
    monkeypatch.setattr(module, "BREATH", breath)
    order = []
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(stepwise(steps(order)))
        tasks.create_task(others(order))
    assert (work.result(), order) == ("done", expected)


async def test_work_that_is_cancelled_ends_at_once(monkeypatch):
    monkeypatch.setattr(module, "BREATH", 0.0)
    order = []

    def work():
        try:
            yield from steps(order)
        finally:
            order.append("closed")

    given = work()  # Held here, so that nothing but `stepwise` closes it.
    running = asyncio.create_task(stepwise(given))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert order == [0, "closed"]


async def test_what_fails_within_a_step_fails():
    def work():
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await stepwise(work())
