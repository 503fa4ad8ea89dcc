"""Garbage collection between epochs, so that no full collection blocks the loop during one.

A full collection visits every list and dict created since the start, so its duration grows with the
number of open findings. The automatic one would run when an epoch creates most of them.
"""

from __future__ import annotations

import gc

_NEVER = 2**31 - 1


def keep_out_of_epochs() -> None:
    """Disable automatic full collections, and exclude all present objects from collection."""
    gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
    gc.freeze()


def collect() -> None:
    """Run a full collection."""
    gc.collect()
