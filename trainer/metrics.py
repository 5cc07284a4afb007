"""Metrics of a whole evaluation set, exact and weighted, in float64; numpy only, no TensorFlow.

Rows in and a dict out; the tasks of several classes have modules of their own. A metric that the
rows do not define (AUC of one class, R2 of a constant label) is absent from the dict: never NaN,
never a made-up 0.

Axes: B rows, G groups of rows with equal score, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trainer.errors import TrainingFailed

Metrics = dict[str, float]
ByClass = dict[str, Metrics]
Vector = npt.NDArray[np.float64]

# Left out of the one-line text; they are in the dict and in metrics.jsonl.
_NOT_IN_LINE = frozenset(
    {"mean_prediction", "mean_label", "mean_bias", "rmsle", "mape", "num_rows", "sum_weight"}
)


class Evaluator(Protocol):
    """Takes in the rows of a set, piece by piece, and gives its metrics."""

    def add(self, labels_BL: np.ndarray, logits_BO: np.ndarray, weight_B: np.ndarray) -> None:
        """Take in rows."""
        ...

    def result(self) -> Metrics:
        """The metrics of all rows so far."""
        ...

    def by_class(self) -> ByClass:
        """Figures of each class or label; {} where there are none."""
        ...


class RowEvaluator:
    """Metrics of one output, computed from all rows at once."""

    def __init__(self, measure: Callable[[Vector, Vector, Vector], Metrics]):
        """`measure(label_B, logit_B, weight_B)`, the logits in float64."""
        self._measure = measure
        self._pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, labels_BL: np.ndarray, logits_BO: np.ndarray, weight_B: np.ndarray) -> None:
        """See `Evaluator`."""
        self._pieces.append((labels_BL[:, 0], logits_BO[:, 0], weight_B))

    def result(self) -> Metrics:
        """See `Evaluator`."""
        empty = np.empty(0)
        label, logit, weight = (
            np.concatenate(parts) if parts else empty
            for parts in (zip(*self._pieces, strict=True) if self._pieces else ((), (), ()))
        )
        return self._measure(label, logit.astype(np.float64), weight)

    def by_class(self) -> ByClass:
        """See `Evaluator`."""
        return {}


def regression_metrics(
    label: npt.ArrayLike,
    prediction: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    is_count: bool = False,
) -> Metrics:
    """rmse, mae, r2, rmsle, mape, mean_bias, mean_prediction, mean_label, num_rows, sum_weight.

    With weights w, means are sum(w x) / sum(w); mean_bias = mean_prediction - mean_label;
    r2 = 1 - sum(w (y - f)^2) / sum(w (y - mean_label)^2), absent where the label is constant.
    rmsle = sqrt(mean((log(1 + y) - log(1 + f))^2)), absent where a y or f is -1 or less.
    mape = mean(|y - f| / |y|), absent where a y is 0 or so near that it has no number.
    poisson_deviance = 2 mean(y log(y / f) - y + f), of counts only.
    Without rows, or with weights that are all 0, only num_rows and sum_weight are there.

    Source: definitions of scikit-learn's mean_squared_log_error, mean_absolute_percentage_error
    and mean_poisson_deviance.

    Args:
        label: (B,) y.
        prediction: (B,) f.
        weight: (B,), 0 or more; None: rows weigh 1.
        is_count: whether y is 0 or more and f above 0, and the deviance is asked for.

    Raises:
        TrainingFailed: a prediction is not finite.
        ValueError: the shapes differ.

    >>> format_metrics(regression_metrics([1.0, 3.0], [2.0, 3.0]))
    'rmse 0.707  mae 0.500  r2 0.500'
    """
    label_B, prediction_B, weight_B = _checked(label, prediction, weight)
    metrics = _counts(weight_B)
    if metrics["sum_weight"] == 0:
        return metrics
    error_B = prediction_B - label_B
    scores = {
        "rmse": math.sqrt(_mean(error_B**2, weight_B)),
        "mae": _mean(np.abs(error_B), weight_B),
    }
    has_weight_B = weight_B > 0
    weighted_label = label_B[has_weight_B]
    variance = _mean((label_B - _mean(label_B, weight_B)) ** 2, weight_B)
    # Also of equal labels the mean may differ in its last digit.
    if weighted_label.min() < weighted_label.max() and variance > 0:
        scores["r2"] = 1 - _mean(error_B**2, weight_B) / variance
    if min(weighted_label.min(), prediction_B[has_weight_B].min()) > -1:
        log_error = np.log1p(prediction_B[has_weight_B]) - np.log1p(weighted_label)
        scores["rmsle"] = math.sqrt(_mean(log_error**2, weight_B[has_weight_B]))
    if np.all(weighted_label):
        with np.errstate(over="ignore"):
            relative = np.abs(error_B[has_weight_B] / weighted_label)
        scores |= _finite("mape", _mean(relative, weight_B[has_weight_B]))
    if is_count:
        ratio_B = np.where(label_B > 0, label_B, 1) / prediction_B
        deviance_B = label_B * np.log(ratio_B) + error_B
        scores["poisson_deviance"] = 2 * _mean(deviance_B, weight_B)
    return scores | _means(label_B, prediction_B, weight_B) | metrics


def binary_metrics(
    label: npt.ArrayLike,
    logit: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    threshold: float = 0.5,
) -> Metrics:
    """log_loss, auc, pr_auc, accuracy, precision, recall, f1, the means and the counts.

    log_loss = mean of log(1 + exp(-z)) where y = 1 and log(1 + exp(z)) where y = 0 (nats).
    auc: the chance that a positive row has a larger logit than a negative one, ties count half.
    pr_auc: average precision, sum over distinct logits of (R_n - R_(n-1)) P_n, not interpolated.
    A row counts as positive from probability `threshold` on.

    Absent: auc and pr_auc where one class has no weight; precision where no row counts as positive;
    recall where no row is positive; f1 where neither. Without rows, or with weights that are all 0,
    only num_rows and sum_weight are there.

    Source: definitions of scikit-learn's log_loss, roc_auc_score and average_precision_score.

    Args:
        label: (B,) y, 0 or 1.
        logit: (B,) z, log-odds of the positive class, of any size.
        weight: (B,), 0 or more; None: rows weigh 1.
        threshold: in (0, 1).

    Raises:
        TrainingFailed: a logit is not finite.
        ValueError: the shapes differ, or a label is neither 0 nor 1.
    """
    label_B, logit_B, weight_B = _checked(label, logit, weight)
    if not np.isin(label_B, (0.0, 1.0)).all():
        raise ValueError("a label of a binary task is neither 0 nor 1")
    metrics = _counts(weight_B)
    if metrics["sum_weight"] == 0:
        return metrics
    loss_B = np.logaddexp(0.0, np.where(label_B == 1, -logit_B, logit_B))
    return (
        {"log_loss": _mean(loss_B, weight_B)}
        | ranking_metrics(label_B, logit_B, weight_B)
        | _decision_metrics(label_B == 1, logit_B >= log_odds(threshold), weight_B)
        | _means(label_B, sigmoid(logit_B), weight_B)
        | metrics
    )


def sigmoid(logit: npt.ArrayLike) -> Vector:
    """1 / (1 + exp(-logit)) in float64; no overflow at any logit.

    >>> sigmoid([-1e4, 0.0, 1e4]).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.exp(-np.logaddexp(0.0, -np.asarray(logit, np.float64)))


def format_metrics(metrics: Mapping[str, float]) -> str:
    """The scores in one readable line of three significant digits; means and counts are left out.

    Names may carry the prefix val_ of the training log.

    >>> format_metrics({"rmse": 4.4137, "mae": 1.8702, "r2": 0.7934, "num_rows": 1572})
    'rmse 4.41  mae 1.87  r2 0.793'
    """
    shown = [name for name in metrics if name.removeprefix("val_") not in _NOT_IN_LINE]
    scores = [f"{name} {_short(metrics[name])}" for name in shown]
    return "  ".join(scores) if scores else "no metrics (no rows with weight)"


def _checked(
    label: npt.ArrayLike, output: npt.ArrayLike, weight: npt.ArrayLike | None
) -> tuple[Vector, Vector, Vector]:
    """The three as float64 (B,) arrays; unequal shapes are refused, for they would broadcast."""
    label_B = np.asarray(label, np.float64)
    output_B = np.asarray(output, np.float64)
    weight_B = np.ones_like(label_B) if weight is None else np.asarray(weight, np.float64)
    if label_B.ndim != 1 or not label_B.shape == output_B.shape == weight_B.shape:
        raise ValueError(
            "label, output and weight must be (B,); "
            f"received {label_B.shape}, {output_B.shape}, {weight_B.shape}"
        )
    if bad := int(np.count_nonzero(~np.isfinite(output_B))):
        raise TrainingFailed(
            f"{bad} of {output_B.size} predictions are not finite; "
            "lower the learning rates or set optimizer.clip_norm"
        )
    return label_B, output_B, weight_B


def _counts(weight_B: Vector) -> Metrics:
    return {"num_rows": int(weight_B.size), "sum_weight": float(weight_B.sum())}


def _finite(name: str, value: float) -> Metrics:
    return {name: value} if math.isfinite(value) else {}


def _mean(values_B: Vector, weight_B: Vector) -> float:
    return float((values_B * weight_B).sum() / weight_B.sum())


def _means(label_B: Vector, prediction_B: Vector, weight_B: Vector) -> Metrics:
    mean_prediction, mean_label = _mean(prediction_B, weight_B), _mean(label_B, weight_B)
    return {
        "mean_prediction": mean_prediction,
        "mean_label": mean_label,
        "mean_bias": mean_prediction - mean_label,
    }


def ranking_metrics(label_B: Vector, score_B: Vector, weight_B: Vector) -> Metrics:
    """Area under both curves from the weights of the classes at each distinct score.

    {} where one class has no weight.
    """
    order = np.argsort(score_B, kind="stable")
    sorted_B = score_B[order]
    starts_G = np.flatnonzero(np.concatenate(([True], sorted_B[1:] != sorted_B[:-1])))
    positive_G = np.add.reduceat((weight_B * label_B)[order], starts_G)
    negative_G = np.add.reduceat((weight_B * (1 - label_B))[order], starts_G)
    positive, negative = positive_G.sum(), negative_G.sum()
    if positive == 0 or negative == 0:
        return {}
    below_G = (np.cumsum(negative_G) - negative_G / 2) / negative
    true_G = np.cumsum(positive_G[::-1])[::-1]
    reached_G = true_G + np.cumsum(negative_G[::-1])[::-1]
    precision_G = np.divide(true_G, reached_G, out=np.zeros_like(true_G), where=reached_G > 0)
    recall_step_G = positive_G / positive
    return {
        "auc": float((recall_step_G * below_G).sum()),
        "pr_auc": float((recall_step_G * precision_G).sum()),
    }


def _decision_metrics(
    is_positive_B: npt.NDArray[Any], is_predicted_B: npt.NDArray[Any], weight_B: Vector
) -> Metrics:
    """Accuracy, precision, recall and f1 of yes/no decisions; ratios over nothing are absent."""
    hit = float(weight_B[is_positive_B & is_predicted_B].sum())
    false_alarm = float(weight_B[~is_positive_B & is_predicted_B].sum())
    miss = float(weight_B[is_positive_B & ~is_predicted_B].sum())
    metrics = {"accuracy": _mean((is_positive_B == is_predicted_B).astype(np.float64), weight_B)}
    ratios = {
        "precision": (hit, hit + false_alarm),
        "recall": (hit, hit + miss),
        "f1": (2 * hit, 2 * hit + false_alarm + miss),
    }
    return metrics | {name: part / whole for name, (part, whole) in ratios.items() if whole > 0}


def log_odds(probability: float) -> float:
    """log(p / (1 - p))."""
    return math.log(probability) - math.log1p(-probability)


def _short(value: float) -> str:
    """Three significant digits, all digits before the point, exponents only below 0.001.

    >>> [_short(x) for x in (0.0, 0.7934, -12.345, 12345.6, 0.00012345, 9.999)]
    ['0', '0.793', '-12.3', '12346', '1.23e-04', '10.0']
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    exponent = math.floor(math.log10(abs(rounded)))
    return f"{value:.2e}" if exponent < -3 else f"{value:.{max(0, 2 - exponent)}f}"
