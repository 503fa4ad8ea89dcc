"""What a simulated server says otherwise than its model works out: parts of its replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nats_insights.lab.fleet.model import BORN
from nats_insights.lab.fleet.rows import timestamp

# What tells one row of a list from the others.
_ROW_NAMES = {"routes": "remote_name", "leafs": "name", "account_statz": "acc"}


def altered(said: Mapping[str, Any], part: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The object `said` with the figures of `part`.

    An object in `part` alters the object of that name, or the rows of that name in a list, where
    there are any. None leaves it out. A function gets what would be said, and the time in Unix
    seconds.
    """
    result = dict(said)
    for key, wanted in part.items():
        was = result.get(key)
        if callable(wanted):
            wanted = wanted(was, now)
        if wanted is None:
            result.pop(key, None)
        elif isinstance(wanted, Mapping) and isinstance(was, list):
            name = _ROW_NAMES[key]
            result[key] = [altered(row, wanted.get(row[name], {}), now) for row in was]
        elif isinstance(wanted, Mapping) and isinstance(was, Mapping):
            result[key] = altered(was, wanted, now)
        elif not isinstance(wanted, Mapping):
            result[key] = wanted
    return result


def growing(per_second: float, since: float = BORN) -> Callable[[int | None, float], int]:
    """A counter that grows so fast, beside what it counts anyway; `since` in Unix seconds."""
    return lambda was, now: (was or 0) + int(per_second * max(0.0, now - since))


def in_days(days: float) -> Callable[[object, float], str]:
    """A moment that is always so many days ahead, or ago where negative."""
    return lambda _, now: timestamp(now + days * 86_400)


def from_then_on(at: float, value: object) -> Callable[[Any, float], Any]:
    """Another value from the moment `at` on, in Unix seconds."""
    return lambda was, now: value if now >= at else was
