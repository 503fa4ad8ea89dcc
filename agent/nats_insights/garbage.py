"""Garbage: collected between two epochs, so that no collection stops the loop in the midst of one.

A full collection looks at every list and dict there is, which takes longer the more findings are
open. What survives an epoch is set aside, and looked at again only when the connection changes.
"""

from __future__ import annotations

import gc

_NEVER = 2**31 - 1


def keep_out_of_epochs() -> None:
    """No full collection by itself from now on; what is there now stays."""
    gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
    gc.freeze()


def after_epoch() -> None:
    """Collect what the epoch left behind, and set aside what survives."""
    gc.collect()
    gc.freeze()


def after_connection() -> None:
    """Collect everything: what a connection that broke left behind holds itself."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
