"""Text that outsiders wrote, made safe and short enough to print."""

from __future__ import annotations

LONGEST_IN_SENTENCE = 64


def plain(text: str) -> str:
    """Text that is safe to print: what outsiders named may hold control characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int = LONGEST_IN_SENTENCE) -> str:
    """The beginning of a text, safe to print, with an ellipsis where it was cut."""
    text = plain(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"
