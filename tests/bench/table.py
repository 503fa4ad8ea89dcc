"""Sets costs out in a table, each beside its ratio to the floor."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.rounds import Cost, Costs

_MIB = 1 << 20
_HEAD = ("wall", "", "CPU", "", "bytes", "", "peak RSS", "swept", "window", "pause")


def table(costs: Costs) -> list[str]:
    """One line for each cost; the first one has to be the floor."""
    floor = costs["floor"]
    rows = [("", *_HEAD), *((name, *_cells(cost, floor)) for name, cost in costs.items())]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines in which each column has its width, the first one flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"  {row[0]:<{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]


def _cells(cost: Cost, floor: Cost) -> list[str]:
    cells = []
    for key, figure in (
        ("wall_seconds", f"{1000 * cost['wall_seconds']:,.0f} ms"),
        ("cpu_seconds", f"{1000 * cost['cpu_seconds']:,.0f} ms"),
        ("bytes", f"{cost['bytes'] / _MIB:,.1f} MiB"),
    ):
        cells += [figure, f"{cost[key] / floor[key]:.2f} x"]
    cells.append(f"{cost['peak_rss_mib']:.0f} MiB")
    # Whoever is no agent sweeps all, has no window, and nobody else who could wait.
    if "servers_swept" not in cost:
        return [*cells, "", "", ""]
    cells.append(f"{cost['servers_swept']:,}")
    cells.append(f"{cost['peak_window_bytes'] / _MIB:.1f} MiB")
    return [*cells, f"{1000 * cost['longest_pause']:.0f} ms"]
