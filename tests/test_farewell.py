"""What was begun is finished although it is cancelled, and nothing goes on for ever."""

from __future__ import annotations

import asyncio

import pytest

from nats_insights.agent.farewell import finish


async def cancelled(task: asyncio.Task[object], times: int = 1) -> None:
    """Cancel it again and again, until it has ended."""
    for _ in range(times):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_the_result_is_that_of_the_work():
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await finish(work()) == 7


async def test_an_error_is_that_of_the_work():
    async def work() -> None:
        raise ValueError("seven")

    with pytest.raises(ValueError, match="seven"):
        await finish(work())


@pytest.mark.parametrize("times", [1, 5])
async def test_what_is_cancelled_is_finished_first(times):
    done: list[int] = []

    async def work() -> None:
        for number in range(20):
            await asyncio.sleep(0)
            done.append(number)

    await cancelled(asyncio.create_task(finish(work(), within=3600)), times)
    assert done == [*range(20)]


async def test_work_that_does_not_end_is_given_up():
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await cancelled(asyncio.create_task(finish(work(), within=0.01)))
    assert ended.is_set()


async def test_work_that_was_cancelled_too_early_to_start_is_done():
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    task = asyncio.create_task(finish(work(), within=3600))
    await cancelled(task)
    assert done.is_set()


async def test_an_error_of_cancelled_work_is_nobodys_and_is_not_logged(caplog):
    async def work() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise ValueError("seven")

    await cancelled(asyncio.create_task(finish(work(), within=3600)))
    await asyncio.sleep(0)
    assert caplog.messages == []
