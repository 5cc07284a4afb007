"""How far predicted numbers are from the labels, weighted.

Axes: B rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.insight.confidence import (
    group_means,
    normal_quantile,
    student_quantile,
    weighted_quantiles,
)
from trainer.metrics import Vector

_NUM_CELLS = 40
_NUM_BINS = 10


def number_tables(label_B: Vector, prediction_B: Vector, weight_B: Vector) -> dict[str, Any]:
    """The figures of `evaluation.<part>` of a regression; {} without rows.

    scatter: weight of the rows by cells of prediction and label; the outermost cells take in what
    is beyond the 0.1st and the 99.9th percentile.
    residuals_by_decile: by tenths of the rows in the order of the prediction, equal predictions
    together; bias and percentiles are of prediction - label, the interval of the bias is Student's
    at 95 %.

    Args:
        label_B: in their own units, float64.
        prediction_B: in the same.
        weight_B: above 0.
    """
    if not len(label_B):
        return {}
    return {
        "scatter": _scatter(label_B, prediction_B, weight_B),
        "residuals_by_decile": _residuals(label_B, prediction_B, weight_B),
    }


def _scatter(label_B: Vector, prediction_B: Vector, weight_B: Vector) -> dict[str, Any]:
    shares = np.array([0.001, 0.999])
    edges = [_edges(weighted_quantiles(x, weight_B, shares)) for x in (prediction_B, label_B)]
    row_B, column_B = (
        np.clip(np.searchsorted(e, x, side="right") - 1, 0, _NUM_CELLS - 1)
        for e, x in zip(edges, (prediction_B, label_B), strict=True)
    )
    counts = np.bincount(row_B * _NUM_CELLS + column_B, weight_B, _NUM_CELLS**2)
    return {
        "prediction_edges": edges[0],
        "label_edges": edges[1],
        "counts": counts.reshape(_NUM_CELLS, _NUM_CELLS),
    }


def _edges(ends: Vector) -> Vector:
    low, high = ends
    if low == high:  # a constant stands in the middle of cells of some width
        margin = max(abs(low), 1.0) / 2
        low, high = low - margin, high + margin
    return np.linspace(low, high, _NUM_CELLS + 1)


def _residuals(label_B: Vector, prediction_B: Vector, weight_B: Vector) -> list[dict[str, float]]:
    shares = np.arange(1, _NUM_BINS) / _NUM_BINS
    edges = np.unique(weighted_quantiles(prediction_B, weight_B, shares))
    bin_B = np.searchsorted(edges, prediction_B, side="left")
    error_B = prediction_B - label_B
    table = []
    for number in np.unique(bin_B):
        rows = np.flatnonzero(bin_B == number)
        weight, error = weight_B[rows], error_B[rows]
        mean, half = group_means(error, weight, np.zeros(len(rows), np.int64), 1)
        if len(rows) > 1:
            half = half * student_quantile(normal_quantile(), np.array([len(rows) - 1.0]))
        p05, p50, p95 = weighted_quantiles(error, weight, np.array([0.05, 0.5, 0.95]))
        table.append(
            {
                "low": prediction_B[rows].min(),
                "high": prediction_B[rows].max(),
                "rows": len(rows),
                "mean_label": np.average(label_B[rows], weights=weight),
                "mean_prediction": np.average(prediction_B[rows], weights=weight),
                "bias": mean[0],
                "bias_low": mean[0] - half[0],
                "bias_high": mean[0] + half[0],
                "rmse": np.sqrt(np.average(error**2, weights=weight)),
                "p05": p05,
                "p50": p50,
                "p95": p95,
            }
        )
    return [{name: _number(value) for name, value in one.items()} for one in table]


def _number(value: Any) -> float:
    return value if isinstance(value, int) else float(value)
