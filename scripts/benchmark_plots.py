"""Plots of figures: throughput against batch size, rows, columns, table size and workers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark_measure import Figure

Series = dict[str, list[tuple[float, float]]]


class Plot(NamedTuple):
    """One picture: lines by name, each (x, y) points in increasing x."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: Series
    is_log_x: bool = True


_RATE = "examples per second"


def plots(figures: Mapping[str, Figure]) -> list[Plot]:
    """Those that the figures suffice for."""
    found = [*_training_plots(figures), *_process_plots(figures)]
    return [plot for plot in found if plot.series]


def _training_plots(figures: Mapping[str, Figure]) -> list[Plot]:
    return [
        Plot(
            "batch_size",
            "Training from memory, and its matrix products alone",
            "batch size",
            _RATE,
            series(
                figures,
                r"step/(?P<line>prepared|defaults) (?P<x>\d+)/(?P<what>train|gemm)",
            ),
        ),
        Plot(
            "columns",
            "Tables of more columns, half numbers and half categories",
            "columns",
            "rows per second",
            series(figures, r"columns/(?P<x>\d+)/(?P<line>train|encode)"),
        ),
        Plot(
            "table_size",
            "Training with one large id space, batch 4096",
            "ids",
            _RATE,
            series(figures, r"table/(?P<line>\w+) (?P<x>\d+)/train"),
        ),
    ]


def _process_plots(figures: Mapping[str, Figure]) -> list[Plot]:
    jobs = series(figures, r"jobs/(?P<line>\w+) (?P<x>\d+)")
    return [
        Plot(
            "rows",
            "Whole jobs of one epoch, start to exit (LightGBM: without imports)",
            "rows of CSV",
            "rows per second",
            {name: [(x, x / seconds) for x, seconds in found] for name, found in jobs.items()},
        ),
        Plot(
            "memory",
            "Peak memory of whole runs",
            "rows",
            "MB",
            series(figures, r"memory/(?P<line>\w+) (?P<x>\d+)"),
        ),
        Plot("workers", "Two workers of one core each", "workers", _RATE, _workers(figures), False),
    ]


def series(figures: Mapping[str, Figure], pattern: str) -> Series:
    """Medians of the figures whose key is the pattern: groups x, line and, if there, what."""
    found: Series = {}
    for key, figure in figures.items():
        if match := re.fullmatch(pattern, key):
            groups = match.groupdict()
            line = " ".join(filter(None, (groups["line"], groups.get("what"))))
            found.setdefault(line, []).append((float(groups["x"]), figure.median))
    return {line: sorted(points) for line, points in found.items()}


def _workers(figures: Mapping[str, Figure]) -> Series:
    one = figures.get("workers/one worker")
    if one is None:
        return {}
    return {
        name: [(1.0, one.median), (2.0, figures[f"workers/{name}"].median)]
        for name in ("two, weak", "two, strong", "two jobs")
    }


def draw(figures: Mapping[str, Figure], folder: Path) -> Sequence[Path]:
    """Write every plot as SVG and give the paths.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    paths = []
    for plot in plots(figures):
        drawing, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
        for name, points in plot.series.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        ticks = sorted({x for points in plot.series.values() for x, _ in points})
        if plot.is_log_x:
            axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
        top = 1.1 * max(y for points in plot.series.values() for _, y in points)
        axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label, ylim=(0, top))
        axes.grid(alpha=0.3)
        axes.legend()
        paths.append(folder / f"{plot.name}.svg")
        drawing.savefig(paths[-1])
        pyplot.close(drawing)
    return paths
