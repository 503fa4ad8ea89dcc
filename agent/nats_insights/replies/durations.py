"""Durations as servers print them: as Go does, such as 1m30.5s, or with days and years."""

from __future__ import annotations

import re

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SECONDS |= {"d": 86_400.0, "y": 365 * 86_400.0}
_NUMBER = r"[0-9]{1,19}(?:\.[0-9]{1,9})?"
_parts = re.compile(f"({_NUMBER})(ns|us|µs|ms|[smhdy])").findall
_is_of_go = re.compile(f"(?:{_NUMBER}(?:h|m|s|ms|µs|ns))+").fullmatch
# Longer ones are no durations: Go counts nanoseconds in 63 bits.
_LONGEST = 1e13


def milliseconds(printed: str) -> float:
    """A duration of Go in milliseconds; 0 for a text that is none."""
    # Most have a single unit: this is three times as fast for them.
    try:
        if printed[-2:] == "ms":
            figure = float(printed[:-2])
            return figure if 0 < figure < _LONGEST else 0.0
    except ValueError:
        return 0.0
    return 1000 * seconds(printed) if _is_of_go(printed) else 0.0


def seconds(printed: str) -> float:
    """A duration that may have days, such as how long a client was idle; 0 for any other text."""
    return round(sum([float(number) * _SECONDS[unit] for number, unit in _parts(printed)]), 9)
