"""`slices.<part>` of report.json: where predictions are biased beyond chance.

A slice is the rows of one value of a raw column. All intervals hold together: each is as much wider
as slices were looked at, so that of a model without any bias no slice is shown in 95 of 100 runs.

Axes: R rows, V values of a column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trainer.class_heads import ClassHead, LabelSetHead
from trainer.class_metrics import log_softmax
from trainer.evaluation import Predictions
from trainer.insight.confidence import (
    effective_rows,
    exact_interval,
    group_means,
    normal_quantile,
    student_quantile,
)
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.row_groups import Grouping, RowGroups
from trainer.metrics import Vector, sigmoid
from trainer.number_head import NumberHead
from trainer.objective import Objective

# Effective rows below which an interval says little.
LEAST_ROWS = 50
# The worst that are found, and those of each column that is asked for.
MOST_FOUND, MOST_OF_COLUMN = 20, 50
_PIECE = 1 << 20


class RowScores(NamedTuple):
    """What each of R rows adds to the figures of a slice.

    label_R, prediction_R: their difference is the bias; of a multiclass task, whether the most
    probable class is right and its probability; of a multilabel task, means over labels.
    metric, score_R: the mean of the scores is the metric, or of rmse its square.
    is_share: whether labels are 0 or 1.
    """

    label_R: Vector
    prediction_R: Vector
    weight_R: Vector
    metric: str
    score_R: Vector
    is_share: bool


class _Slices(NamedTuple):
    """Figures of the values of a column that have enough rows."""

    groups: RowGroups
    shown: np.ndarray
    rows: np.ndarray
    share: Vector
    effective: Vector
    label: tuple[Vector, Vector]
    bias: tuple[Vector, Vector]
    score: tuple[Vector, Vector]


def produce(evidence: Evidence) -> Sections:
    """`slices`: by part, those that were asked for and the worst of all columns, worst first."""
    config, grouping = evidence.config, Grouping(evidence.config)
    found = {}
    for part, predictions in evidence.predictions.items():
        num_rows = grouping.num_rows(len(predictions.weight))
        if not num_rows or not grouping.names:
            continue
        scores = row_scores(
            evidence.program.objective, Predictions(*(x[:num_rows] for x in predictions))
        )
        groups = grouping.groups(evidence.datasets.parts[part], num_rows)
        columns = [_slices_of(one, scores) for one in groups]
        found[part] = _worst_first(columns, scores, config.evaluation.slice_columns)
    return {"slices": found} if found else {}


def row_scores(objective: Objective, predictions: Predictions) -> RowScores:
    """Of rows with calibrated scores; the metric is rmse, log_loss, or accuracy of classes."""
    labels, weight_R = predictions.labels, predictions.weight.astype(np.float64)
    logits = objective.decision.calibration.apply(predictions.logits)
    head = objective.head
    if isinstance(head, NumberHead):
        columns = labels[:, 0].astype(np.float64), logits[:, 0].astype(np.float64)
        label_R, value_R = head.in_units(*columns)
        return RowScores(label_R, value_R, weight_R, "rmse", (value_R - label_R) ** 2, False)
    if isinstance(head, ClassHead):
        return _class_scores(labels, logits, weight_R)
    if isinstance(head, LabelSetHead):
        return _label_scores(labels, logits, weight_R)
    label_R, logit_R = labels[:, 0].astype(np.float64), logits[:, 0].astype(np.float64)
    loss_R = np.logaddexp(0.0, np.where(label_R == 1, -logit_R, logit_R))
    return RowScores(label_R, sigmoid(logit_R), weight_R, "log_loss", loss_R, True)


def _class_scores(labels: np.ndarray, logits: np.ndarray, weight_R: Vector) -> RowScores:
    class_R = labels.argmax(axis=1) if labels.shape[1] > 1 else labels[:, 0].astype(np.int64)
    is_hit_R, probability_R = np.zeros(len(class_R)), np.zeros(len(class_R))
    for rows in _pieces(logits):
        log_share = log_softmax(logits[rows])
        is_hit_R[rows] = log_share.argmax(axis=1) == class_R[rows]
        probability_R[rows] = np.exp(log_share.max(axis=1))
    return RowScores(is_hit_R, probability_R, weight_R, "accuracy", is_hit_R, True)


def _label_scores(labels: np.ndarray, logits: np.ndarray, weight_R: Vector) -> RowScores:
    label_R, probability_R, loss_R = np.zeros((3, len(labels)))
    for rows in _pieces(logits):
        piece, is_there = logits[rows].astype(np.float64), labels[rows] > 0.5
        label_R[rows] = is_there.mean(axis=1)
        probability_R[rows] = sigmoid(piece).mean(axis=1)
        loss_R[rows] = np.logaddexp(0.0, np.where(is_there, -piece, piece)).mean(axis=1)
    return RowScores(label_R, probability_R, weight_R, "log_loss", loss_R, False)


def _pieces(logits: np.ndarray) -> list[slice]:
    size = max(1, _PIECE // logits.shape[1])
    return [slice(start, start + size) for start in range(0, len(logits), size)]


def _slices_of(groups: RowGroups, scores: RowScores) -> _Slices:
    number = len(groups.values)
    weight_R, place_R = scores.weight_R, groups.place_R
    rows_V, sum_V = np.bincount(place_R, minlength=number), np.bincount(place_R, weight_R, number)
    effective_V = effective_rows(sum_V, np.bincount(place_R, weight_R**2, number))
    shown = np.flatnonzero(effective_V >= LEAST_ROWS)
    # Of a column of many values only the rows of large ones are looked at further.
    renumbered_V = np.full(number, -1)
    renumbered_V[shown] = np.arange(len(shown))
    place_R = renumbered_V[place_R]
    kept = np.flatnonzero(place_R >= 0)
    means = [
        group_means(values[kept], weight_R[kept], place_R[kept], len(shown))
        for values in (scores.label_R, scores.prediction_R - scores.label_R, scores.score_R)
    ]
    share = sum_V[shown] / weight_R.sum()
    return _Slices(groups, shown, rows_V[shown], share, effective_V[shown], *means)


def _worst_first(
    columns: list[_Slices], scores: RowScores, asked: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Slices whose bias is beyond chance, and those of columns that were asked for."""
    z = normal_quantile(sum(len(one.shown) for one in columns))
    worst: list[tuple[float, dict[str, Any]]] = []
    wanted: list[tuple[float, dict[str, Any]]] = []
    for one in columns:
        low, high = _bias_interval(one, scores.is_share, z)
        beyond = np.maximum(low, -high)
        is_asked = one.groups.column in asked
        if is_asked:
            places = np.argsort(-one.rows, kind="stable")[:MOST_OF_COLUMN]
        else:
            places = np.flatnonzero((beyond > 0) & (one.rows < len(scores.weight_R)))
        for place in places.tolist():
            record = _record(one, place, (low[place], high[place]), scores, z)
            (wanted if is_asked else worst).append((-float(beyond[place]), record))
    worst = sorted(worst, key=lambda pair: pair[0])[:MOST_FOUND]
    return [record for _, record in sorted(worst + wanted, key=lambda pair: pair[0])]


def _bias_interval(one: _Slices, is_share: bool, z: float) -> tuple[Vector, Vector]:
    """Of mean prediction - mean label: of shares by the exact interval, else Student's.

    The exact one has a width where no label is 1: that does not prove that there is never one.
    """
    bias, error = one.bias
    if not is_share:
        half = student_quantile(z, one.effective - 1) * error
        return bias - half, bias + half
    share = one.label[0]
    low, high = exact_interval(share, one.effective, z)
    prediction = share + bias
    return prediction - high, prediction - low


def _record(
    one: _Slices, place: int, interval: tuple[float, float], scores: RowScores, z: float
) -> dict[str, Any]:
    label, bias = float(one.label[0][place]), float(one.bias[0][place])
    mean, error = float(one.score[0][place]), float(one.score[1][place])
    half = float(student_quantile(z, one.effective - 1)[place]) * error
    ends = [mean - half, mean, mean + half]
    if scores.metric == "accuracy":
        low, high = exact_interval(np.array([mean]), one.effective[[place]], z)
        ends = [float(low[0]), mean, float(high[0])]
    if scores.metric == "rmse":
        ends = [max(end, 0.0) ** 0.5 for end in ends]
    return {
        "column": one.groups.column,
        "value": one.groups.values[one.shown[place]],
        "rows": int(one.rows[place]),
        "share": float(one.share[place]),
        "mean_label": label,
        "mean_prediction": label + bias,
        "bias": bias,
        "bias_low": float(interval[0]),
        "bias_high": float(interval[1]),
        "metric": scores.metric,
        "value_of_metric": ends[1],
        "metric_low": ends[0],
        "metric_high": ends[2],
    }
