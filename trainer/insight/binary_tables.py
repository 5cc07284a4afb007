"""What the probabilities of a yes are worth: curves, decisions and calibration, weighted.

Axes: B rows, G groups of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.insight.confidence import effective_rows, weighted_quantiles, wilson
from trainer.metrics import Vector, sigmoid
from trainer.operating_point import Costs, Curve, curve_of

_MOST_POINTS = 200
_NUM_CALIBRATION_BINS = 15
_NUM_SCORE_BINS = 40
_THRESHOLDS = np.arange(1, 20) / 20


def binary_tables(
    is_positive_B: np.ndarray, logit_B: Vector, weight_B: Vector, threshold: float, costs: Costs
) -> dict[str, Any]:
    """The figures of `evaluation.<part>` of a binary task; {} without rows.

    roc, pr: points of the curves, at most some hundreds, and the probability from which rows count
    as positive. thresholds: decisions at twentieths and at the operating point; selected is the
    share of all rows, cost the mean over rows. See `calibration_bins` for calibration and ece.

    Args:
        is_positive_B: whether the label is 1.
        logit_B: calibrated.
        weight_B: above 0.
        threshold: of the operating point.
        costs: of wrong decisions.
    """
    if not len(logit_B):
        return {}
    curve = curve_of(is_positive_B, logit_B, weight_B)
    probability_B = sigmoid(logit_B)
    at = decisions(curve, np.array([threshold]), costs)
    counts = {name: float(at.pop(name)[0]) for name in ("tp", "fp", "tn", "fn")}
    thresholds = np.unique(np.append(_THRESHOLDS, threshold))
    table = decisions(curve, thresholds, costs)
    names = ("threshold", "precision", "recall", "fpr", "f1", "selected", "cost")
    bins = calibration_bins(is_positive_B, logit_B, weight_B)
    edges = np.linspace(0, 1, _NUM_SCORE_BINS + 1)
    histograms = {
        name: np.histogram(probability_B[rows], edges, weights=weight_B[rows])[0]
        for name, rows in (("negatives", ~is_positive_B), ("positives", is_positive_B))
    }
    found: dict[str, Any] = {}
    if curve.positives and curve.negatives:
        shown = _points(curve)
        scores = sigmoid(curve.logit_G[shown])
        found["roc"] = {
            "fpr": np.append(0.0, curve.false_positive_rate_G[shown]),
            "tpr": np.append(0.0, curve.recall_G[shown]),
            "threshold": np.append(1.0, scores),
        }
        found["pr"] = {
            "recall": curve.recall_G[shown],
            "precision": curve.precision_G[shown],
            "threshold": scores,
        }
    return found | {
        "operating_point": {name: float(values[0]) for name, values in at.items()},
        "confusion": counts,
        "calibration": bins,
        "ece": expected_calibration_error(bins),
        "score_histogram": {"edges": edges, **histograms},
        "thresholds": [
            {name: float(table[name][i]) for name in names} for i in range(len(thresholds))
        ],
    }


def decisions(curve: Curve, thresholds: Vector, costs: Costs) -> dict[str, Vector]:
    """Weights and rates of the decisions at each threshold; a rate over nothing is NaN."""
    # The groups whose probability reaches the threshold; they fall with the place.
    reached = np.searchsorted(-sigmoid(curve.logit_G), -thresholds, side="right")
    hits = np.append(0.0, curve.hits_G)[reached]
    alarms = np.append(0.0, curve.alarms_G)[reached]
    misses, rest = curve.positives - hits, curve.negatives - alarms
    total = curve.positives + curve.negatives
    with np.errstate(invalid="ignore"):
        return {
            "threshold": thresholds,
            "precision": hits / (hits + alarms),
            "recall": hits / curve.positives if curve.positives else np.full_like(hits, np.nan),
            "fpr": alarms / curve.negatives if curve.negatives else np.full_like(hits, np.nan),
            "f1": 2 * hits / (2 * hits + alarms + misses),
            "accuracy": (hits + rest) / total,
            "selected": (hits + alarms) / total,
            "cost": (costs.false_positive * alarms + costs.false_negative * misses) / total,
            "tp": hits,
            "fp": alarms,
            "tn": rest,
            "fn": misses,
        }


def calibration_bins(
    is_positive_B: np.ndarray, logit_B: Vector, weight_B: Vector
) -> list[dict[str, float]]:
    """Bins of equal width in log-odds: how probable the rows are said to be, and how many are.

    The ends take in all rows beyond the 1st and the 99th percentile; bins without rows are left
    out. low and high are the least and the largest probability in the bin; rows counts rows; the
    interval of the share is Wilson's, of the effective number of rows, at 95 %.
    """
    ends = weighted_quantiles(logit_B, weight_B, np.array([0.01, 0.99]))
    edges = np.linspace(ends[0], ends[1], _NUM_CALIBRATION_BINS + 1)[1:-1]
    bin_B = np.searchsorted(edges, logit_B, side="right")
    number = {"minlength": _NUM_CALIBRATION_BINS}
    rows, sum_weight = np.bincount(bin_B, **number), np.bincount(bin_B, weight_B, **number)
    probability_B = sigmoid(logit_B)
    kept = np.flatnonzero(rows)
    mean = np.bincount(bin_B, weight_B * probability_B, **number)[kept] / sum_weight[kept]
    share = np.bincount(bin_B, weight_B * is_positive_B, **number)[kept] / sum_weight[kept]
    effective = effective_rows(sum_weight, np.bincount(bin_B, weight_B**2, **number))[kept]
    low, high = wilson(share, effective)
    order = np.argsort(logit_B, kind="stable")
    lasts = np.cumsum(rows[kept]) - 1
    firsts = np.append(0, lasts[:-1] + 1)
    columns = {
        "low": probability_B[order[firsts]],
        "high": probability_B[order[lasts]],
        "rows": rows[kept],
        "weight": sum_weight[kept],
        "mean_probability": mean,
        "share": share,
        "share_low": low,
        "share_high": high,
    }
    return [{name: values[i].item() for name, values in columns.items()} for i in range(len(kept))]


def expected_calibration_error(bins: list[dict[str, float]]) -> float:
    """The mean of |mean probability - share| over the bins, by their weight.

    Source: Naeini, Cooper and Hauskrecht 2015, here over bins of log-odds.
    """
    total = sum(one["weight"] for one in bins)
    return sum(one["weight"] * abs(one["mean_probability"] - one["share"]) for one in bins) / total


def _points(curve: Curve) -> np.ndarray:
    """Groups of which a line through all others cannot be told from the curve: evenly along it."""
    length_G = curve.recall_G + curve.false_positive_rate_G
    if len(length_G) <= _MOST_POINTS:
        return np.arange(len(length_G))
    wanted = np.linspace(length_G[0], length_G[-1], _MOST_POINTS)
    return np.unique(np.minimum(np.searchsorted(length_G, wanted), len(length_G) - 1))
