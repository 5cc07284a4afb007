"""What the probabilities of several classes or labels are worth, weighted.

Rows are looked at some at a time, so that 20,000 classes fit into memory.

Axes: B rows, K classes or labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.class_metrics import log_softmax
from trainer.insight.binary_tables import calibration_bins, expected_calibration_error
from trainer.metrics import Vector, log_odds

# Classes of the confusion matrix and of the table, by weight of their rows.
MOST_CLASSES, MOST_FIGURES = 20, 200
# A probability of 1 has no log-odds.
_MOST_CERTAIN = 1e-12
_PIECE = 1 << 20

Figures = Mapping[str, Mapping[str, float]]


def class_tables(
    classes: Sequence[str],
    class_B: np.ndarray,
    logits_BK: np.ndarray,
    weight_B: Vector,
    known: Figures,
) -> dict[str, Any]:
    """The figures of `evaluation.<part>` of a multiclass task; {} without rows.

    classes, confusion: those of the most weight and, where there are more, the rest as the last row
    and column; weights of the rows by label (row) and prediction (column). by_class: weight,
    precision, recall and what is known. calibration, ece: of the most probable class, whose share
    is the accuracy.

    Args:
        classes: K names.
        class_B: numbers of the labels.
        logits_BK: calibrated.
        weight_B: above 0.
        known: figures of each class, e.g. auc and f1.
    """
    if not len(class_B):
        return {}
    num_classes = len(classes)
    predicted_B, probability_B = top_classes(logits_BK)
    actual_K = np.bincount(class_B, weight_B, num_classes)
    predicted_K = np.bincount(predicted_B, weight_B, num_classes)
    is_hit_B = predicted_B == class_B
    hit_K = np.bincount(class_B[is_hit_B], weight_B[is_hit_B], num_classes)
    order = np.argsort(-actual_K, kind="stable")
    shown = order[:MOST_CLASSES]
    place_K = np.full(num_classes, len(shown))
    place_K[shown] = np.arange(len(shown))
    size = len(shown) + (num_classes > len(shown))
    cells = np.bincount(place_K[class_B] * size + place_K[predicted_B], weight_B, size**2)
    certain_B = np.clip(probability_B, _MOST_CERTAIN, 1 - _MOST_CERTAIN)
    bins = calibration_bins(is_hit_B, np.log(certain_B) - np.log1p(-certain_B), weight_B)
    return {
        "rows": len(class_B),
        "classes": [classes[k] for k in shown],
        "confusion": cells.reshape(size, size),
        "by_class": _by_class(classes, order, (hit_K, predicted_K, actual_K), known),
        "calibration": bins,
        "ece": expected_calibration_error(bins),
    }


def label_tables(
    classes: Sequence[str],
    labels_BK: np.ndarray,
    logits_BK: np.ndarray,
    weight_B: Vector,
    thresholds: Sequence[float],
    known: Figures,
) -> dict[str, Any]:
    """The figures of `evaluation.<part>` of a multilabel task; {} without rows.

    by_class: weight of the rows with each label, its threshold, precision, recall and the known.

    Args:
        classes: K names.
        labels_BK: 0 or 1.
        logits_BK: calibrated.
        weight_B: above 0.
        thresholds: one, or one for each label.
        known: figures of each label, e.g. auc and f1.
    """
    if not len(weight_B):
        return {}
    least_K = np.broadcast_to([log_odds(t) for t in thresholds], len(classes))
    sums = np.zeros((3, len(classes)))
    for rows in _pieces(logits_BK):
        is_actual, is_predicted = labels_BK[rows] > 0.5, logits_BK[rows] >= least_K
        for total, chosen in zip(
            sums, (is_actual & is_predicted, is_predicted, is_actual), strict=True
        ):
            total += weight_B[rows] @ chosen
    order = np.argsort(-sums[2], kind="stable")
    table = _by_class(classes, order, (sums[0], sums[1], sums[2]), known)
    by_name = dict(zip(classes, np.broadcast_to(thresholds, len(classes)), strict=True))
    return {
        "rows": len(weight_B),
        "by_class": {n: {"threshold": float(by_name[n]), **f} for n, f in table.items()},
    }


def top_classes(logits_BK: np.ndarray) -> tuple[np.ndarray, Vector]:
    """(B,) the most probable class of each row, and its probability."""
    predicted_B = np.zeros(len(logits_BK), np.int64)
    probability_B = np.zeros(len(logits_BK))
    for rows in _pieces(logits_BK):
        log_share = log_softmax(logits_BK[rows])
        predicted_B[rows] = log_share.argmax(axis=1)
        probability_B[rows] = np.exp(log_share.max(axis=1))
    return predicted_B, probability_B


def _by_class(
    classes: Sequence[str],
    order: np.ndarray,
    sums: tuple[np.ndarray, np.ndarray, np.ndarray],
    known: Figures,
) -> dict[str, dict[str, float]]:
    """Of the first classes of an order, from the weights of hits, predictions and labels."""
    hit_K, predicted_K, actual_K = sums
    with np.errstate(invalid="ignore"):
        figures = {"precision": hit_K / predicted_K, "recall": hit_K / actual_K}
    table = {}
    for k in order[:MOST_FIGURES].tolist():
        defined = {name: float(v[k]) for name, v in figures.items() if np.isfinite(v[k])}
        table[classes[k]] = {"sum_weight": float(actual_K[k]), **defined} | {
            name: value for name, value in known.get(classes[k], {}).items() if name != "sum_weight"
        }
    return table


def _pieces(logits_BK: np.ndarray) -> Iterator[slice]:
    size = max(1, _PIECE // logits_BK.shape[1])
    return (slice(start, start + size) for start in range(0, len(logits_BK), size))
