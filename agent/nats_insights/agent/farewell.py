"""What was begun is finished although the agent is told to stop, within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 3.0
_TO_CANCEL = 1.0


async def finish(work: Coroutine[Any, Any, T], within: float = SECONDS) -> T:
    """The result of `work`. A cancellation waits for its end, at most for these seconds.

    Further cancellations meanwhile do not shorten that.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wait(task, within)
        task.cancel()
        await _wait(task, _TO_CANCEL)
        raise


async def _wait(task: asyncio.Task[Any], seconds: float) -> None:
    """Until a task has ended or the seconds are over, whoever cancels the waiting."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not task.done() and (left := deadline - loop.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
