"""From the logits of a model to logits whose probabilities are the shares that rows show.

A calibration is fitted on validation rows after training, kept with the model and applied before
anything is decided: it maps logits to logits, so that losses, thresholds and scores are computed
as ever. numpy only, no TensorFlow.

Axes: R rows, O outputs, L labels, K classes or labels, G groups of equal logits, N knots.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from trainer.label import Task
from trainer.metrics import ByClass, Evaluator, Metrics, Vector, sigmoid

Matrix = npt.NDArray[np.float64]
Kind = Literal["none", "platt", "isotonic", "temperature"]

_MOST_ITERATIONS = 100
# Of the temperature: of rows that are all right (or all wrong) no finite one is the best.
_LEAST_SCALE, _LARGEST_SCALE = 1e-2, 1e2
# Logits at a time, of many classes: 8 MB of float64.
_PIECE = 1 << 20


class Calibration(NamedTuple):
    """A monotone map from logits to logits.

    platt: scale * logit + shift, of each label. temperature: logit * scale, the same for all
    outputs. isotonic: straight lines between knots, constant beyond them.

    Attributes:
        kind: of `evaluation.calibration`.
        scales: one, or one for each label.
        shifts: as many.
        knots: (N,) rising logits, of isotonic.
        values: (N,) their logits after it.
    """

    kind: Kind = "none"
    scales: tuple[float, ...] = (1.0,)
    shifts: tuple[float, ...] = (0.0,)
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def apply(self, logits_RO: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """(R, O) logits; of kind none the same array, else float64.

        >>> Calibration("platt", (2.0,), (1.0,)).apply(np.array([[0.5], [-1.0]])).tolist()
        [[2.0], [-1.0]]
        """
        if self.kind == "none":
            return logits_RO
        if self.kind == "isotonic":
            return np.interp(logits_RO.astype(np.float64), self.knots, self.values)
        return logits_RO.astype(np.float64) * np.array(self.scales) + np.array(self.shifts)

    def describe(self) -> str:
        """For the log.

        >>> Calibration("temperature", (0.8,)).describe()
        'calibration temperature: logits / 1.25'
        """
        if self.kind == "isotonic":
            return f"calibration isotonic: {len(self.knots)} knots"
        if self.kind == "temperature":
            return f"calibration temperature: logits / {1 / self.scales[0]:.4g}"
        if len(self.scales) > 1:
            low, high = min(self.scales), max(self.scales)
            return f"calibration platt: logits x {low:.4g} to {high:.4g} by label"
        return f"calibration platt: logit x {self.scales[0]:.4g} {self.shifts[0]:+.4g}"


class CalibratedEvaluator:
    """Another evaluator, of calibrated logits."""

    def __init__(self, evaluator: Evaluator, calibration: Calibration):
        """Hand calibrated rows to `evaluator`."""
        self._evaluator, self._calibration = evaluator, calibration

    def add(self, labels_BL: np.ndarray, logits_BO: np.ndarray, weight_B: np.ndarray) -> None:
        """See `Evaluator`."""
        self._evaluator.add(labels_BL, self._calibration.apply(logits_BO), weight_B)

    def result(self) -> Metrics:
        """See `Evaluator`."""
        return self._evaluator.result()

    def by_class(self) -> ByClass:
        """See `Evaluator`."""
        return self._evaluator.by_class()


def fit_calibration(
    kind: Kind, task: Task, labels_RL: np.ndarray, logits_RO: np.ndarray, weight_R: np.ndarray
) -> Calibration:
    """The calibration of least log loss of its kind; weights count by their ratios alone.

    Args:
        kind: platt and isotonic of one output; platt also of several labels; temperature of all.
        task: binary, multiclass or multilabel.
        labels_RL: 0 or 1; numbers of classes (R, 1), or (R, K) probabilities.
        logits_RO: finite.
        weight_R: above 0.
    """
    if kind == "none" or not len(weight_R):
        return Calibration()
    weight_R = weight_R.astype(np.float64) * (len(weight_R) / weight_R.sum(dtype=np.float64))
    if kind == "isotonic":
        return fit_isotonic(labels_RL[:, 0] > 0.5, logits_RO[:, 0].astype(np.float64), weight_R)
    if kind == "platt":
        return fit_platt(labels_RL > 0.5, logits_RO.astype(np.float64), weight_R)
    slopes = _slopes_of_classes if task == "multiclass" else _slopes_of_labels
    return fit_temperature(lambda scale: slopes(scale, labels_RL, logits_RO, weight_R))


def fit_platt(is_positive_RK: np.ndarray, logits_RK: Matrix, weight_R: Vector) -> Calibration:
    """Scale and shift of each label by Newton's method; a label of one class stays as it is.

    The targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2), N the weights of the positive and of the
    negative rows, so that a label that the logits separate gets a finite scale.
    Source: Platt 1999, "Probabilistic outputs for support vector machines"; Lin, Lin and Weng 2007,
    "A note on Platt's probabilistic outputs", the algorithm with a line search.
    """
    positive_K = weight_R @ is_positive_RK
    negative_K = weight_R.sum() - positive_K
    target_RK = np.where(is_positive_RK, (positive_K + 1) / (positive_K + 2), 1 / (negative_K + 2))
    scale_K, shift_K = np.zeros(len(positive_K)), np.log((positive_K + 1) / (negative_K + 1))
    weight_R1 = weight_R[:, np.newaxis]

    def loss_K(scale_K: Vector, shift_K: Vector) -> Vector:
        found_RK = logits_RK * scale_K + shift_K
        return weight_R @ (np.logaddexp(0.0, found_RK) - target_RK * found_RK)

    best_K = loss_K(scale_K, shift_K)
    for _ in range(_MOST_ITERATIONS):
        share_RK = sigmoid(logits_RK * scale_K + shift_K)
        slope_RK = (share_RK - target_RK) * weight_R1
        curve_RK = share_RK * (1 - share_RK) * weight_R1
        by_shift, by_scale = slope_RK.sum(axis=0), (slope_RK * logits_RK).sum(axis=0)
        if max(np.abs(by_shift).max(), np.abs(by_scale).max()) < 1e-9 * len(weight_R):
            break
        aa = (curve_RK * logits_RK**2).sum(axis=0) + 1e-12
        ab, bb = (curve_RK * logits_RK).sum(axis=0), curve_RK.sum(axis=0) + 1e-12
        determinant = aa * bb - ab**2
        step_scale = (bb * by_scale - ab * by_shift) / determinant
        step_shift = (aa * by_shift - ab * by_scale) / determinant
        length_K = np.ones_like(scale_K)
        for _ in range(30):
            found_K = loss_K(scale_K - length_K * step_scale, shift_K - length_K * step_shift)
            # Not >: what is no number is worse too.
            if not (is_worse_K := ~(found_K <= best_K)).any():
                break
            length_K[is_worse_K] /= 2
        length_K[is_worse_K] = 0.0
        if not length_K.any():
            break
        scale_K, shift_K = scale_K - length_K * step_scale, shift_K - length_K * step_shift
        best_K = np.fmin(found_K, best_K)
    is_known_K = (positive_K > 0) & (negative_K > 0)
    scale_K, shift_K = np.where(is_known_K, scale_K, 1.0), np.where(is_known_K, shift_K, 0.0)
    return Calibration("platt", tuple(scale_K.tolist()), tuple(shift_K.tolist()))


def fit_temperature(slopes: Callable[[float], tuple[float, float]]) -> Calibration:
    """The one scale of all logits, by Newton's method within bounds that each step narrows.

    Source: Guo et al. 2017, "On calibration of modern neural networks"; 1 / scale is their T.

    Args:
        slopes: `slopes(scale)` gives the first and second derivative of the loss, a convex function
            of the scale.
    """
    low, high, scale = _LEAST_SCALE, _LARGEST_SCALE, 1.0
    for _ in range(_MOST_ITERATIONS):
        slope, curve = slopes(scale)
        low, high = (low, scale) if slope > 0 else (scale, high)
        found = scale - slope / curve if curve > 0 else math.inf
        if not low < found < high:
            found = math.sqrt(low * high)
        if abs(found - scale) <= 1e-12 * scale:
            break
        scale = found
    return Calibration("temperature", (scale,), (0.0,))


def fit_isotonic(is_positive_R: np.ndarray, logit_R: Vector, weight_R: Vector) -> Calibration:
    """The rising steps of least squared error, joined by straight lines.

    Blocks of rows come from pooling neighbours that fall; each has a knot at its first and its last
    logit. Shares are kept 1 / (R + 2) away from 0 and 1: no number of rows shows that something
    never happens, and the log loss of that would be infinite.
    Source: Ayer et al. 1955; the values at the rows are those of scikit-learn's IsotonicRegression.
    """
    knots_G, place_R = np.unique(logit_R, return_inverse=True)
    weight_G = np.bincount(place_R, weight_R)
    share_G = np.bincount(place_R, weight_R * is_positive_R) / weight_G
    starts = pool_falling(share_G, weight_G)
    ends = np.append(starts[1:], len(knots_G)) - 1
    positive = np.add.reduceat(weight_G * share_G, starts)
    least = 1 / (len(logit_R) + 2)
    share = np.clip(positive / np.add.reduceat(weight_G, starts), least, 1 - least)
    places = np.stack([starts, ends], axis=1).reshape(-1)
    values = np.repeat(np.log(share) - np.log1p(-share), 2)
    is_new = np.append(True, places[1:] != places[:-1])
    knots = knots_G[places[is_new]]
    return Calibration(
        "isotonic", knots=tuple(knots.tolist()), values=tuple(values[is_new].tolist())
    )


def pool_falling(share_G: np.ndarray, weight_G: np.ndarray) -> np.ndarray:
    """First group of each block of the isotonic fit.

    Each pass pools all runs that do not rise, whose order has no effect on the end; what is left
    when passes find little more goes one by one.

    >>> pool_falling(np.array([0.1, 0.5, 0.3, 0.2, 0.9]), np.ones(5)).tolist()
    [0, 1, 4]
    """
    starts, share, weight = np.arange(len(share_G)), share_G, weight_G
    while len(starts) > 1:
        is_first = np.append(True, share[1:] > share[:-1])
        if is_first.sum() > 0.9 * len(starts):
            break
        kept = np.flatnonzero(is_first)
        total = np.add.reduceat(weight * share, kept)
        starts, weight = starts[kept], np.add.reduceat(weight, kept)
        share = total / weight
    blocks: list[tuple[int, float, float]] = []
    for start, mean, mass in zip(starts.tolist(), share.tolist(), weight.tolist(), strict=True):
        block = (start, mean, mass)
        while blocks and blocks[-1][1] >= block[1]:
            first, other, other_mass = blocks.pop()
            both = other_mass + block[2]
            block = (first, (other * other_mass + block[1] * block[2]) / both, both)
        blocks.append(block)
    return np.array([block[0] for block in blocks])


def _slopes_of_labels(
    scale: float, labels_RK: np.ndarray, logits_RK: np.ndarray, weight_R: Vector
) -> tuple[float, float]:
    """Of the mean binary log loss over rows and labels."""
    slope, curve = 0.0, 0.0
    for rows in _pieces(logits_RK):
        logits = logits_RK[rows].astype(np.float64)
        share = sigmoid(scale * logits)
        slope += float(weight_R[rows] @ (logits * (share - (labels_RK[rows] > 0.5))).sum(axis=1))
        curve += float(weight_R[rows] @ (logits**2 * share * (1 - share)).sum(axis=1))
    return slope / len(weight_R), curve / len(weight_R)


def _slopes_of_classes(
    scale: float, labels_RL: np.ndarray, logits_RK: np.ndarray, weight_R: Vector
) -> tuple[float, float]:
    """Of the mean log loss: the mean logit less that of the label, and the logits' variance."""
    slope, curve = 0.0, 0.0
    for rows in _pieces(logits_RK):
        logits, labels = logits_RK[rows].astype(np.float64), labels_RL[rows]
        share = np.exp(scale * (logits - logits.max(axis=1, keepdims=True)))
        share /= share.sum(axis=1, keepdims=True)
        mean = (share * logits).sum(axis=1)
        if labels.shape[1] > 1:
            own = (logits * labels).sum(axis=1)
        else:
            own = np.take_along_axis(logits, labels.astype(np.int64), axis=1)[:, 0]
        spread = (share * (logits - mean[:, np.newaxis]) ** 2).sum(axis=1)
        slope += float(weight_R[rows] @ (mean - own))
        curve += float(weight_R[rows] @ spread)
    return slope / len(weight_R), curve / len(weight_R)


def _pieces(logits_RK: np.ndarray) -> list[slice]:
    size = max(1, _PIECE // logits_RK.shape[1])
    return [slice(start, start + size) for start in range(0, len(logits_RK), size)]
