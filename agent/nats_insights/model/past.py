"""The declaration of a figure whose past a check reads, and how its values are packed."""

from __future__ import annotations

import inspect
import struct
import typing
from collections.abc import Callable, Iterable
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nats_insights.errors import DeclarationError

if TYPE_CHECKING:
    from nats_insights.model.changes import Changes
    from nats_insights.model.samples import Samples

R = TypeVar("R", bound="Changes | Samples")


class Past(Generic[R]):
    """The declaration of a figure `(noun) -> value` whose past a check reads.

    Values are kept for `keep` seconds, in points at least `every` seconds apart; `every` is 0
    where only the last value and the times of its changes are kept.
    """

    def __init__(self, figure: Callable[[Any], Any], keep: float, every: float) -> None:
        self.figure, self.keep, self.every = figure, keep, every

    @property
    def name(self) -> str:
        """The name of the figure, for messages."""
        return self.figure.__name__

    @property
    def key(self) -> str:
        """Its unique name in plain data: two checks may have figures of the same name."""
        return f"{self.figure.__module__}:{self.figure.__qualname__}"

    @cached_property
    def about(self) -> type[Any]:
        """The noun type that it is a figure of; DeclarationError if the annotation names none."""
        arguments = list(inspect.signature(self.figure).parameters)
        about = typing.get_type_hints(self.figure).get(arguments[0]) if arguments else None
        if len(arguments) != 1 or not isinstance(about, type):
            raise DeclarationError(f"{self.name}: its one argument must be annotated with a noun")
        return about

    def __repr__(self) -> str:
        return f"Past({self.key})"


def refuse(keep: float) -> None:
    """DeclarationError unless it is a number of seconds."""
    if not 0 < keep < inf:
        raise DeclarationError(f"a past is kept for a number of seconds, not {keep!r}")


def window(past: Past[Any], seconds: float) -> None:
    """ValueError for a window longer than what is kept."""
    if not 0 < seconds <= past.keep:
        raise ValueError(f"{past.name} is kept for {past.keep:g} s, and asked for {seconds:g} s")


def unfit(past: Past[Any], value: object) -> ValueError:
    """The error for a value that cannot be kept."""
    return ValueError(f"{past.name}: {str(value)[:100]} is no figure to remember")


def pack(figures: Iterable[float]) -> bytes:
    """Figures as bytes, eight for each."""
    figures = list(figures)
    return struct.pack(f"<{len(figures)}d", *figures)


def unpack(packed: bytes) -> tuple[float, ...]:
    """The figures in these bytes."""
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def thawed(value: Any) -> Any:
    """The value with lists turned into tuples, as JSON has only lists."""
    if isinstance(value, (list, tuple)):
        return tuple([thawed(one) for one in value])
    return value
