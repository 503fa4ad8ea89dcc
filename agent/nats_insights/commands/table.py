"""Tables for people: aligned columns, of which the last one wraps at words on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

Row = Sequence[str | Text]
# A last column that would be narrower stands on lines of its own, indented by so much.
_NARROWEST, _INDENT = 32, 4
# Columns between two cells.
_GAP = 2


def aligned(rows: Iterable[Row], indent: int = 0) -> Iterator[Text]:
    """Rows of cells as lines whose columns stand below each other."""
    table = _texts(rows)
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    for row in table:
        line = Text(" " * indent)
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell)
            line.append(" " * (width - _width(cell) + _GAP))
        line.rstrip()
        yield line


def wrapped(rows: Iterable[Row], out: Console, indent: int = 0) -> Iterator[Text]:
    """The same, and on a terminal the last column continues below itself, or below its row."""
    table = _texts(rows)
    if not out.is_terminal or not table:
        yield from aligned(table, indent)
        return
    left = [row[:-1] for row in table]
    heads = aligned(left, indent)
    width = indent + sum(max(map(_width, column)) + _GAP for column in zip(*left, strict=True))
    room, lasts = out.width - width, [last for *_, last in table]
    words = (word for last in lasts for word in last.plain.split())
    needed = max(_NARROWEST, max(map(cell_len, words), default=0))
    beside = room >= min(needed, max(map(_width, lasts)), out.width - _INDENT)
    for head, (*_, last) in zip(heads, table, strict=True):
        if not beside:
            yield head
            head, width, room = Text(), _INDENT, out.width - _INDENT
        for line in last.wrap(out, room) if last else ():
            head.append(" " * (width - _width(head)))
            head.append_text(line)
            head.rstrip()
            yield head
            head = Text()
        if beside and not last:
            yield head


def folded(text: Text, out: Console) -> Iterator[Text]:
    """A sentence, on a terminal in lines that end between words."""
    for line in text.wrap(out, out.width) if out.is_terminal else (text,):
        line.rstrip()
        yield line


def filled(columns: Sequence[str], rows: Iterable[Row]) -> list[Row]:
    """The rows below their headings, without the columns in which every cell is empty."""
    table = _texts(rows)
    keep = [number for number, cells in enumerate(zip(*table, strict=True)) if any(cells)]
    heading = [Text(columns[number], "dim") for number in keep]
    return [heading, *([row[number] for number in keep] for row in table)]


def _texts(rows: Iterable[Row]) -> list[list[Text]]:
    return [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]


def _width(cell: Text) -> int:
    return cell_len(cell.plain)
