"""Draws the CPU that epochs take, the largest fleet first, as an SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from tests.bench.rounds import Costs

# Each is distinct on a white page and on a black one; the page itself is not painted.
_TEXT, _OTHERS = "#777777", "#9ca3af"
# What is drawn of each fleet: the row of the table, its words, its colour.
_BARS = (
    ("ordinary epoch", "agent: an ordinary epoch", "#d97706"),
    ("full sweep", "agent: the first epoch", "#3b82f6"),
    ("bare nats-py", "a script that counts users", _OTHERS),
    ("floor", "receive and decode only", _OTHERS),
)
_WIDTH = 720
_LEFT, _RIGHT = 200, 60
_BAR, _HEAD, _GAP = 20, 24, 14


def picture(fleets: Mapping[str, Costs]) -> str:
    """An SVG with the seconds of CPU of each row and fleet; `fleets` by size."""
    seconds = {
        name: {row: costs[row]["cpu_seconds"] for row, *_ in _BARS}
        for name, costs in sorted(fleets.items(), key=lambda item: _connections(item[0]))[::-1]
    }
    scale = (_WIDTH - _LEFT - _RIGHT) / max(max(of.values()) for of in seconds.values())
    group = _HEAD + _BAR * len(_BARS) + _GAP
    height = group * len(seconds)
    said = "; ".join(
        f"{_title(name)}: " + ", ".join(f"{words} {of[row]:.2f} s" for row, words, _ in _BARS)
        for name, of in seconds.items()
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title said" '
        f'font-family="system-ui, sans-serif" font-size="14" fill="{_TEXT}">',
        '<title id="title">Seconds of CPU</title>',
        f'<desc id="said">{escape(said)}</desc>',
    ]
    for number, (name, of) in enumerate(seconds.items()):
        lines += _group(group * number, name, of, scale)
    return "\n".join([*lines, "</svg>", ""])


def _group(top: int, name: str, of: Mapping[str, float], scale: float) -> Iterator[str]:
    yield _text(0, top + 16, _title(name), "bold")
    for number, (row, words, colour) in enumerate(_BARS):
        y, width = top + _HEAD + _BAR * number, max(1.0, of[row] * scale)
        yield _text(0, y + 14, words)
        yield (
            f'<rect x="{_LEFT}" y="{y + 2}" width="{width:.1f}" height="{_BAR - 5}" rx="2" '
            f'fill="{colour}"/>'
        )
        yield _text(round(_LEFT + width + 8, 1), y + 14, f"{of[row]:.2f} s")


def _connections(name: str) -> int:
    servers, connections = map(int, name.split("x"))
    return servers * connections


def _title(name: str) -> str:
    servers = int(name.split("x")[0])
    return f"{_connections(name):,} connections on {servers:,} servers"


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-weight="{weight}">{escape(text)}</text>'
