"""Text that outsiders wrote, made safe and short enough to print."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import takewhile

LONGEST_IN_SENTENCE = 64
_LONGEST_WORD = 128
# Words that are as like another one as any: more of them are not compared further.
_CANDIDATES = 10


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
    """The known word that is most like this one, whatever its case, "" if none is like it.

    Of several that are equally like it, the one that begins like it for longest.
    """
    by_folded = {one.casefold(): one for one in known}
    # Comparing takes the longer the longer a word is, and outsiders choose it.
    word = word[:_LONGEST_WORD].casefold()
    near = difflib.get_close_matches(word, by_folded, n=_CANDIDATES, cutoff=0.55)

    def likeness(one: str) -> tuple[float, int]:
        ratio = difflib.SequenceMatcher(None, one, word).ratio()
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, word, strict=False))
        return ratio, len(list(alike))

    return by_folded[max(near, key=likeness)] if near else ""
