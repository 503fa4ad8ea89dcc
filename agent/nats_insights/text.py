"""Text that outsiders wrote, made safe and short enough to print."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_IN_SENTENCE = 64
_LONGEST_WORD = 128


def plain(text: str) -> str:
    """Text that is safe to print: what outsiders named may hold control characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int = LONGEST_IN_SENTENCE) -> str:
    """The beginning of a text, safe to print, with an ellipsis where it was cut."""
    text = plain(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one, whatever its case, "" if none is like it."""
    by_folded = {one.casefold(): one for one in known}
    # Comparing takes the longer the longer a word is, and outsiders choose it.
    near = difflib.get_close_matches(word[:_LONGEST_WORD].casefold(), by_folded, n=1, cutoff=0.55)
    return by_folded[near[0]] if near else ""
