"""Metrics of several classes or labels, weighted, in float64; numpy only, no TensorFlow.

Rows come piece by piece, so that 20,000 classes of many rows fit into memory. Only the areas under
curves need all logits at once; they are there up to `MOST_KEPT` of them.

Axes: B rows, K classes or labels, R rows of all pieces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.errors import TrainingFailed
from trainer.metrics import ByClass, Metrics, Vector, log_odds, ranking_metrics

# Logits of a set, rows times classes, that are kept for areas under curves: 64 MB.
MOST_KEPT = 1 << 24
_TOP = 5


class _Kept:
    """Labels, scores and weights of all rows, until there are too many."""

    def __init__(self) -> None:
        self._pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._size = 0
        self.is_whole = True

    def add(self, labels: np.ndarray, logits_BK: np.ndarray, weight_B: np.ndarray) -> None:
        self._size += logits_BK.size
        if self._size > MOST_KEPT:
            self.is_whole = False
            self._pieces.clear()
        if self.is_whole:
            self._pieces.append((labels, logits_BK.astype(np.float32), weight_B))

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, (R, K) logits and (R,) weights."""
        label, logits, weight = (np.concatenate(p) for p in zip(*self._pieces, strict=True))
        return label, logits, weight.astype(np.float64)


class _Account:
    """Sums over rows that both tasks need; hits, false alarms and misses by class."""

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self.num_rows, self.sum_weight = 0, 0.0
        self.sum_loss = 0.0
        self.hit_K, self.predicted_K, self.actual_K = np.zeros((3, len(self.classes)))
        self.kept = _Kept()

    def count(self, logits_BK: np.ndarray, weight_B: Vector) -> None:
        if bad := int(np.count_nonzero(~np.isfinite(logits_BK).all(axis=1))):
            raise TrainingFailed(
                f"{bad} of {len(logits_BK)} predictions are not finite; "
                "lower the learning rates or set optimizer.clip_norm"
            )
        self.num_rows += len(weight_B)
        self.sum_weight += float(weight_B.sum())

    @property
    def counts(self) -> Metrics:
        return {"num_rows": self.num_rows, "sum_weight": self.sum_weight}

    @property
    def f1_K(self) -> Vector:
        """F1 of each class; NaN where no row is of it nor predicted to be."""
        reached_K = self.predicted_K + self.actual_K
        f1 = np.full(len(self.classes), np.nan)
        return np.divide(2 * self.hit_K, reached_K, out=f1, where=reached_K > 0)

    def table(self, auc_K: Vector) -> ByClass:
        """Weight of the rows, AUC and F1 by class; a figure that is not defined is left out."""
        columns = {"sum_weight": self.actual_K, "auc": auc_K, "f1": self.f1_K}
        return {
            name: {key: float(v[i]) for key, v in columns.items() if math.isfinite(v[i])}
            for i, name in enumerate(self.classes)
        }


class ClassEvaluator:
    """Metrics of rows of one class each: log_loss, accuracy, top_5_accuracy, AUC and F1.

    log_loss = mean of -sum_k y_k log p_k (nats), where y is the class or its probabilities. For
    the others the class of a row with probabilities is the most probable one.
    top_5_accuracy: the share of rows whose class is among the five of the largest logits; only
    of more than 5 classes.
    macro_auc: the mean over classes of the AUC of the class against the rest, by probability.
    macro_f1: the mean of the F1 over classes; weighted_f1: over rows, by their class. A class that
    the rows do not define a figure for is left out of the mean.

    Source: definitions of scikit-learn's log_loss, accuracy_score, top_k_accuracy_score,
    roc_auc_score (multi_class="ovr") and f1_score.
    """

    def __init__(self, classes: Sequence[str]):
        """Take the names of the K classes."""
        self._account = _Account(classes)
        self._hits, self._top_hits = 0.0, 0.0

    def add(self, labels_BL: np.ndarray, logits_BO: np.ndarray, weight_B: np.ndarray) -> None:
        """Take in rows.

        Args:
            labels_BL: (B, 1) numbers of classes, or (B, K) probabilities.
            logits_BO: (B, K).
            weight_B: (B,), 0 or more.

        Raises:
            TrainingFailed: a logit is not finite.
        """
        account, weight_B = self._account, weight_B.astype(np.float64)
        account.count(logits_BO, weight_B)
        log_BK = log_softmax(logits_BO)
        is_soft = labels_BL.shape[1] > 1
        class_B = labels_BL.argmax(axis=1) if is_soft else labels_BL[:, 0].astype(np.int64)
        own_B = log_BK[np.arange(len(class_B)), class_B]
        loss_B = -np.einsum("bk,bk->b", labels_BL.astype(np.float64), log_BK) if is_soft else -own_B
        account.sum_loss += float((loss_B * weight_B).sum())
        num_above_B = (log_BK > own_B[:, np.newaxis]).sum(axis=1)
        predicted_B = log_BK.argmax(axis=1)
        is_hit_B = predicted_B == class_B
        self._hits += float(weight_B[is_hit_B].sum())
        self._top_hits += float(weight_B[num_above_B < _TOP].sum())
        num_classes = len(account.classes)
        account.actual_K += np.bincount(class_B, weight_B, num_classes)
        account.predicted_K += np.bincount(predicted_B, weight_B, num_classes)
        account.hit_K += np.bincount(class_B[is_hit_B], weight_B[is_hit_B], num_classes)
        account.kept.add(class_B, logits_BO, weight_B)

    def result(self) -> Metrics:
        """The metrics of all rows so far."""
        account = self._account
        if account.sum_weight == 0:
            return account.counts
        scores = {
            "log_loss": account.sum_loss / account.sum_weight,
            "accuracy": self._hits / account.sum_weight,
        }
        if len(account.classes) > _TOP:
            scores["top_5_accuracy"] = self._top_hits / account.sum_weight
        scores |= _mean_over_classes("macro_auc", self._auc_K())
        f1_K = account.f1_K
        weighted = np.nansum(f1_K * account.actual_K) / account.sum_weight
        return (
            scores
            | _mean_over_classes("macro_f1", f1_K)
            | {"weighted_f1": float(weighted)}
            | account.counts
        )

    def by_class(self) -> ByClass:
        """Weight of the rows, AUC and F1 of each class."""
        return self._account.table(self._auc_K())

    def _auc_K(self) -> Vector:
        auc_K = np.full(len(self._account.classes), np.nan)
        if self._account.kept.is_whole and self._account.num_rows:
            class_R, logits_RK, weight_R = self._account.kept.arrays()
            norm_R = _log_sum_exp(logits_RK.astype(np.float64))
            for k in np.unique(class_R):
                score_R = logits_RK[:, k].astype(np.float64) - norm_R
                auc_K[k] = _auc((class_R == k).astype(np.float64), score_R, weight_R)
        return auc_K


class LabelSetEvaluator:
    """Metrics of rows of any number of K labels: log_loss, AUC, F1 and subset_accuracy.

    log_loss: the mean over rows and labels of the binary one. macro_auc and macro_f1: means over
    labels, of which those are left out that the rows do not define it for; micro_auc and micro_f1:
    of all rows and labels as one list. subset_accuracy: the share of rows with every label right.

    Source: definitions of scikit-learn's roc_auc_score, f1_score and accuracy_score.
    """

    def __init__(self, classes: Sequence[str], thresholds: Sequence[float]):
        """Take the names of the K labels, and the probability from which a row has one, or each."""
        self._account = _Account(classes)
        self._least_logit = np.array([log_odds(threshold) for threshold in thresholds])
        self._whole_hits = 0.0

    def add(self, labels_BL: np.ndarray, logits_BO: np.ndarray, weight_B: np.ndarray) -> None:
        """Take in rows.

        Args:
            labels_BL: (B, K), 0 or 1.
            logits_BO: (B, K) log-odds.
            weight_B: (B,), 0 or more.

        Raises:
            TrainingFailed: a logit is not finite.
        """
        account, weight_B = self._account, weight_B.astype(np.float64)
        account.count(logits_BO, weight_B)
        logits_BK, is_actual_BK = logits_BO.astype(np.float64), labels_BL > 0.5
        loss_BK = np.logaddexp(0.0, np.where(is_actual_BK, -logits_BK, logits_BK))
        account.sum_loss += float((loss_BK.mean(axis=1) * weight_B).sum())
        is_predicted_BK = logits_BK >= self._least_logit
        is_whole_B = (is_predicted_BK == is_actual_BK).all(axis=1)
        self._whole_hits += float(weight_B[is_whole_B].sum())
        account.actual_K += weight_B @ is_actual_BK
        account.predicted_K += weight_B @ is_predicted_BK
        account.hit_K += weight_B @ (is_actual_BK & is_predicted_BK)
        account.kept.add(is_actual_BK, logits_BO, weight_B)

    def result(self) -> Metrics:
        """The metrics of all rows so far."""
        account = self._account
        if account.sum_weight == 0:
            return account.counts
        scores = {"log_loss": account.sum_loss / account.sum_weight}
        scores |= _mean_over_classes("macro_auc", self._auc_K())
        if account.kept.is_whole:
            actual_RK, logits_RK, weight_R = account.kept.arrays()
            flat = [actual_RK, logits_RK, np.repeat(weight_R, len(account.classes))]
            auc = _auc(*(part.reshape(-1).astype(np.float64) for part in flat))
            scores |= {} if math.isnan(auc) else {"micro_auc": auc}
        scores |= _mean_over_classes("macro_f1", account.f1_K)
        reached = float((account.predicted_K + account.actual_K).sum())
        if reached:
            scores["micro_f1"] = 2 * float(account.hit_K.sum()) / reached
        scores["subset_accuracy"] = self._whole_hits / account.sum_weight
        return scores | account.counts

    def by_class(self) -> ByClass:
        """Weight of the rows, AUC and F1 of each label."""
        return self._account.table(self._auc_K())

    def _auc_K(self) -> Vector:
        auc_K = np.full(len(self._account.classes), np.nan)
        if self._account.kept.is_whole and self._account.num_rows:
            actual_RK, logits_RK, weight_R = self._account.kept.arrays()
            for k in range(len(auc_K)):
                columns = actual_RK[:, k].astype(np.float64), logits_RK[:, k].astype(np.float64)
                auc_K[k] = _auc(*columns, weight_R)
        return auc_K


def log_softmax(logits_BK: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(B, K) float64 logarithms of the probabilities."""
    logits_BK = logits_BK.astype(np.float64)
    return logits_BK - _log_sum_exp(logits_BK)[:, np.newaxis]


def _log_sum_exp(logits_BK: npt.NDArray[np.float64]) -> Vector:
    largest_B = logits_BK.max(axis=1)
    total: Vector = np.exp(logits_BK - largest_B[:, np.newaxis]).sum(axis=1)
    return largest_B + np.log(total)


def _auc(label_R: Vector, score_R: Vector, weight_R: Vector) -> float:
    """NaN where one of the two classes has no weight."""
    return ranking_metrics(label_R, score_R, weight_R).get("auc", math.nan)


def _mean_over_classes(name: str, figure_K: Vector) -> Metrics:
    defined = figure_K[~np.isnan(figure_K)]
    return {name: float(defined.mean())} if len(defined) else {}
