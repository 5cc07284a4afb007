"""The threshold of a yes, chosen on the validation rows; numpy only, no TensorFlow.

Axes: B rows, G groups of rows with equal logits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainer.metrics import Vector, sigmoid
from trainer.threshold_rule import ThresholdRule

# A probability of float32 that differs from 0 and 1.
_MOST_CERTAIN = 15.0


class Curve(NamedTuple):
    """What a threshold selects, by distinct logit from the largest down.

    Attributes:
        logit_G: rows of this logit and above are selected.
        hits_G: weight of the positive rows among them.
        alarms_G: weight of the negative ones.
    """

    logit_G: Vector
    hits_G: Vector
    alarms_G: Vector

    @property
    def positives(self) -> float:
        """Weight of all positive rows."""
        return float(self.hits_G[-1])

    @property
    def negatives(self) -> float:
        """Weight of all negative rows."""
        return float(self.alarms_G[-1])

    @property
    def precision_G(self) -> Vector:
        """Share of positive rows among the selected ones."""
        return self.hits_G / (self.hits_G + self.alarms_G)

    @property
    def recall_G(self) -> Vector:
        """Share of the positive rows that are selected; NaN without any."""
        return self.hits_G / (self.positives or np.nan)

    @property
    def false_positive_rate_G(self) -> Vector:
        """Share of the negative rows that are selected; NaN without any."""
        return self.alarms_G / (self.negatives or np.nan)

    @property
    def f1_G(self) -> Vector:
        """2 hits / (selected + positives)."""
        return 2 * self.hits_G / (self.hits_G + self.alarms_G + self.positives)


class Choice(NamedTuple):
    """A threshold; `is_reached` is false where no threshold reaches the level of the rule."""

    threshold: float
    is_reached: bool = True


class Costs(NamedTuple):
    """What a wrong yes and a wrong no cost."""

    false_positive: float = 1.0
    false_negative: float = 1.0


def curve_of(is_positive_B: np.ndarray, logit_B: np.ndarray, weight_B: np.ndarray) -> Curve:
    """The curve of one or more rows with weights above 0."""
    order = np.argsort(logit_B, kind="stable")[::-1]
    logit_B, weight_B = logit_B[order].astype(np.float64), weight_B[order].astype(np.float64)
    is_positive_B = is_positive_B[order]
    last_G = np.append(np.flatnonzero(np.diff(logit_B)), len(logit_B) - 1)
    hits_B, alarms_B = np.cumsum(weight_B * is_positive_B), np.cumsum(weight_B * ~is_positive_B)
    return Curve(logit_B[last_G], hits_B[last_G], alarms_B[last_G])


def choose_threshold(rule: ThresholdRule, curve: Curve, costs: Costs) -> Choice:
    """The probability from which rows are selected, halfway between two logits of the rows.

    Halfway, so that no row lies on it and rounding decides nothing.
        f1         the largest F1.
        cost       the least cost of wrong decisions; none and all may be selected.
        precision  the largest recall of those thresholds that reach the level.
        recall     the largest precision of those that reach the level.
    Of equal ones the largest threshold. Where no precision reaches the level, the largest one.
    Without a positive row the rules of F1, precision and recall choose 0.5.
    """
    if rule.name == "number":
        return Choice(rule.level)
    if rule.name == "cost":
        misses_G = curve.positives - curve.hits_G
        cost_G = costs.false_positive * curve.alarms_G + costs.false_negative * misses_G
        cost_of_none = costs.false_negative * curve.positives
        place = int(np.argmin(cost_G)) if cost_G.min() < cost_of_none else -1
        return Choice(_after(curve, place))
    if not curve.positives:
        return Choice(rule.while_training, is_reached=rule.name == "f1")
    if rule.name == "f1":
        return Choice(_after(curve, int(np.argmax(curve.f1_G))))
    # Sums of weights round: a precision of 9 of 10 reaches 0.9.
    level = rule.level - 1e-12
    if rule.name == "recall":
        reached_G = curve.recall_G >= level
        return Choice(_after(curve, int(np.argmax(np.where(reached_G, curve.precision_G, -1)))))
    reached_G = curve.precision_G >= level
    if not reached_G.any():
        return Choice(_after(curve, int(np.argmax(curve.precision_G))), is_reached=False)
    return Choice(_after(curve, int(np.argmax(np.where(reached_G, curve.recall_G, -1)))))


def _after(curve: Curve, place: int) -> float:
    """The probability between a group and the next; -1: above all."""
    logit_G = curve.logit_G
    upper = logit_G[place] if place >= 0 else logit_G[0] + 2
    lower = logit_G[place + 1] if place + 1 < len(logit_G) else upper - 2
    logit = np.clip((upper + lower) / 2, -_MOST_CERTAIN, _MOST_CERTAIN)
    return float(sigmoid(logit))
