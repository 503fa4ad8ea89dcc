"""Stores: where the bytes of an agent's state are kept, so that another process goes on from them.

What the bytes contain is the business of `agent/state.py`; a store neither reads nor changes them.
"""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """One value of any size that is read once at the start, and replaced as a whole.

    `where` names it in messages, such as the path of a file.
    """

    @property
    def where(self) -> str: ...

    async def load(self) -> bytes | None:
        """What was saved last, by any process; None if nothing ever was.

        StateError if that cannot be known now.
        """

    async def save(self, data: bytes) -> None:
        """Replace what is kept; on return it survives a crash of this process and of the machine.

        Only one save runs at a time. StateError if it was not saved, or if it is not known whether
        it was: what `load` returns is then the old or the new value, never a part of either.
        """

    async def set_aside(self) -> str:
        """Keep what cannot be used under another name, so that nothing is saved any more.

        Returns where it is now. StateError if that fails.
        """
