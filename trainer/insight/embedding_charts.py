"""Maps of what was embedded, each value named where there is room for its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.insight.chart_style import SERIES, Canvas, Chart, drawing, num_cells, shortened

_MOST_NAMED, _MOST_TRIED = 24, 100
_POINTS_PER_LETTER, _POINTS_PER_LINE = 4.4, 9.0  # of 7 points

Found = Mapping[str, Any]


def charts(maps: Mapping[str, Found]) -> list[Chart]:
    """The values of each embedded feature in two dimensions, the most frequent ones named."""
    return [_embedding(place, name, found) for place, (name, found) in enumerate(maps.items())]


def _embedding(place: int, name: str, found: Found) -> Chart:
    caption = f"Embedding of {shortened(name)} in two dimensions"
    reading = "Values that the model treats alike lie near each other; larger dots have more rows."
    with drawing(f"embedding-{place}", caption, height=3.6, reading=reading) as canvas:
        axes = canvas.axes
        x, y = np.asarray(found["x"], np.float64), np.asarray(found["y"], np.float64)
        rows = np.asarray(found.get("rows") or np.ones(len(x)), np.float64)
        sizes = 8 + 60 * np.sqrt(rows / max(rows.max(initial=0), 1))
        axes.scatter(x, y, s=sizes, color=SERIES[0], alpha=0.55, linewidths=0)
        texts = [shortened(text, 16) for text in found["names"]]
        frequent = np.argsort(-rows, kind="stable")[:_MOST_TRIED]
        for i, side in _free_places(canvas, np.stack([x, y], 1), texts, frequent):
            axes.annotate(
                texts[i],
                (x[i], y[i]),
                xytext=(4 * side, 2),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                fontsize=7,
            )
        axes.set_xlabel("first component")
        axes.set_ylabel("second component")
        return canvas.chart()


def _free_places(
    canvas: Canvas, points: np.ndarray, texts: Sequence[str], order: Iterable[int]
) -> Iterator[tuple[int, int]]:
    """Points that can be named without hiding a name before, and the side, 1 right or -1 left."""
    axes, taken = canvas.axes, np.zeros((0, 4))
    width, height = canvas.inches() * 72
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    places = (points - low) / (high - low) * (width, height)
    num_named = 0
    for i in order:
        length = _POINTS_PER_LETTER * num_cells(texts[i])
        for side in (1, -1):
            left = places[i, 0] + (3 if side > 0 else -3 - length)
            box = np.array([left, places[i, 1], left + length, places[i, 1] + _POINTS_PER_LINE])
            is_clear = (taken[:, :2] >= box[2:]) | (taken[:, 2:] <= box[:2])
            if left >= 0 and box[2] <= width and is_clear.any(axis=1).all():
                taken = np.vstack([taken, box])
                num_named += 1
                yield int(i), side
                break
        if num_named == _MOST_NAMED:
            return
