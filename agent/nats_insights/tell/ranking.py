"""The order of long lists, the worst first: in steps, because a list may have 100,000 rows."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from nats_insights.judge.lifecycle import Life
from nats_insights.tell.weight import weight

T = TypeVar("T")

# Rows that are handled between two yields.
AT_A_STEP = 2048
# Rows that are merged between two yields.
_MERGED_AT_A_STEP = 256


def worst_first(lives: Iterable[Life]) -> Generator[None, None, list[Life]]:
    """By severity, then by weight, muted ones last; what is equal stays in its order."""
    return ordered(lives, _worst_first)


def _worst_first(life: Life) -> tuple[bool, int, float]:
    return bool(life.muted), -life.severity, -weight(life.value, life.threshold, life.cleared > 0)


def ordered(rows: Iterable[T], key: Callable[[T], Any]) -> Generator[None, None, list[T]]:
    """The rows in the order of their keys; what is equal stays in its order."""
    runs = []
    for run in parts(rows):
        runs.append(sorted(run, key=key))
        yield
    merged: list[T] = []
    rest = heapq.merge(*runs, key=key)
    while some := list(itertools.islice(rest, _MERGED_AT_A_STEP)):
        merged += some
        yield
    return merged


def parts(rows: Iterable[T]) -> Iterator[list[T]]:
    """The rows in lists that are short enough for one step."""
    waiting = iter(rows)
    while part := list(itertools.islice(waiting, AT_A_STEP)):
        yield part
