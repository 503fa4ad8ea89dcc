"""Long work in steps: a generator that yields where the event loop may run other tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds between two yields to the event loop.
BREATH = 0.005


def at_once(work: Generator[None, None, T]) -> T:
    """Run all steps without yielding to the event loop."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def emptied(things: dict[Any, Any]) -> Generator[None, None, None]:
    """Empty a dict, one item per step: to free a hundred thousand at once takes too long."""
    while things:
        things.popitem()
        yield


async def stepwise(work: Generator[None, None, T]) -> T:
    """Run all steps, and yield to the event loop every few milliseconds."""
    turn = time.monotonic() + BREATH
    with closing(work):  # At once where this is cancelled.
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if time.monotonic() >= turn:
                await asyncio.sleep(0)
                turn = time.monotonic() + BREATH
