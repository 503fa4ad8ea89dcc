"""Garbage: collected between two epochs, so that no collection stops the loop in the midst of one.

A full collection looks at every list and dict that came since the start, which takes the longer the
more findings are open. By itself it would come when an epoch makes most of them.
"""

from __future__ import annotations

import gc

_NEVER = 2**31 - 1


def keep_out_of_epochs() -> None:
    """No full collection by itself from now on, and none ever of what is there now."""
    gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
    gc.freeze()


def collect() -> None:
    """All that is garbage by now."""
    gc.collect()
