"""Lines that break between words, to the width of the terminal."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

# A last column that would be narrower than this begins below the second one.
_NARROW = 30
_SECOND = len("00:00:00 ")


def row(head: Text, text: str, out: Console) -> Text:
    """A row that begins with a time; its last column is text, in as many lines as it needs.

    Where there is no terminal it is one line, so that a program can read line by line.
    """
    start = cell_len(head.plain) + 1
    if not out.is_terminal or start + cell_len(text) <= out.width:
        return Text(" ").join([head, Text(text)])
    if out.width - start >= max([_NARROW, *map(cell_len, text.split())]):
        first, *more = _lines(text, out.width - start)
        return _below(start, [Text(" ").join([head, Text(first)]), *map(Text, more)])
    head.rstrip()
    return _below(_SECOND, [head, *map(Text, _lines(text, out.width - _SECOND))])


def prose(out: Console, *sentences: str, style: str = "") -> None:
    """Prints sentences as one paragraph."""
    out.print(Text("\n".join(_lines(" ".join(sentences), out.width)), style))


def _below(indent: int, lines: list[Text]) -> Text:
    return Text("\n" + " " * indent).join(lines)


def _lines(text: str, width: int) -> list[str]:
    """As many words on each line as fit; a word that is too long is left whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
