"""Long work in steps: a generator that yields whenever the event loop may do something else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")

# For so long, in seconds, nobody else gets a turn.
BREATH = 0.005


def at_once(work: Generator[None, None, T]) -> T:
    """All steps, one after another."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def emptied(things: dict[Any, Any]) -> Generator[None, None, None]:
    """Free what a dict holds, one thing at a step: a hundred thousand at once take their time."""
    while things:
        things.popitem()
        yield


async def stepwise(work: Generator[None, None, T]) -> T:
    """All steps, and every few milliseconds whatever else is to be done."""
    turn = time.monotonic() + BREATH
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if time.monotonic() >= turn:
            await asyncio.sleep(0)
            turn = time.monotonic() + BREATH
