"""Reads how large a simulated fleet is to be."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

_SIZE = re.compile("([1-9][0-9]{0,6})x([1-9][0-9]{0,6})")


def size(text: str) -> tuple[int, int]:
    """Servers and connections of each, from "1000x1000"; ArgumentTypeError if it is no size."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(
            f"{text!r} is not a size such as 1000x1000, servers x connections of each"
        )
    return int(found[1]), int(found[2])
