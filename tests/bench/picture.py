"""Draws what epochs cost, as multiples of the floor, as an SVG by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from tests.bench.rounds import Costs

# Each is told from a white page and from a black one alike; the page itself is not painted.
_TEXT = "#777777"
_BARS = {"full sweep": "#3b82f6", "ordinary epoch": "#d97706"}

_WIDTH = 720
_LEFT, _RIGHT = 170, 50
_TOP, _BOTTOM = 54, 26
_BAR, _GROUP = 18, 56


def picture(fleets: Mapping[str, Costs]) -> str:
    """An SVG with the CPU of each fleet's epochs over that of its floor; `fleets` by size."""
    ratios = {
        name: {row: costs[row]["cpu_seconds"] / costs["floor"]["cpu_seconds"] for row in _BARS}
        for name, costs in fleets.items()
    }
    scale = (_WIDTH - _LEFT - _RIGHT) / max(1.0, *(max(of.values()) for of in ratios.values()))
    height = _TOP + _GROUP * len(ratios) + _BOTTOM
    said = "; ".join(
        f"{name}: " + ", ".join(f"{row} {ratio:.2f}" for row, ratio in of.items())
        for name, of in ratios.items()
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title said" '
        f'font-family="system-ui, sans-serif" font-size="14" fill="{_TEXT}">',
        '<title id="title">CPU of an epoch, as a multiple of the floor</title>',
        f'<desc id="said">{escape(said)}</desc>',
        *_legend(),
        *_floor(round(_LEFT + scale, 1), height),
    ]
    for number, (name, of) in enumerate(ratios.items()):
        lines += _group(_TOP + _GROUP * number, name, of, scale)
    return "\n".join([*lines, "</svg>", ""])


def _legend() -> Iterator[str]:
    yield _text(0, 16, "CPU of an epoch over the floor")
    for number, (row, colour) in enumerate(_BARS.items()):
        x = _LEFT + 190 + 130 * number
        yield f'<rect x="{x}" y="5" width="12" height="12" rx="2" fill="{colour}"/>'
        yield _text(x + 18, 16, row)


def _floor(x: float, height: int) -> Iterator[str]:
    end = height - _BOTTOM
    yield (
        f'<line x1="{x:g}" y1="{_TOP - 16}" x2="{x:g}" y2="{end}" '
        f'stroke="{_TEXT}" stroke-dasharray="4 4"/>'
    )
    yield _text(x, height - 8, "1 = the floor", "middle")


def _group(top: int, name: str, of: Mapping[str, float], scale: float) -> Iterator[str]:
    servers, connections = map(int, name.split("x"))
    yield _text(0, top + 14, f"{servers * connections:,} connections")
    yield _text(0, top + 32, f"{servers:,} servers")
    for number, (row, ratio) in enumerate(of.items()):
        y = top + _BAR * number
        yield (
            f'<rect x="{_LEFT}" y="{y}" width="{ratio * scale:.1f}" height="{_BAR - 2}" rx="2" '
            f'fill="{_BARS[row]}"/>'
        )
        yield _text(_WIDTH, y + 13, f"{ratio:.2f}", "end")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
