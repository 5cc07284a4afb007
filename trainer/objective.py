"""What is learned from a label: the loss, the offset, and the one function from logit to score.

Logits stay logits until `prediction`, which training, evaluation and the exported model share.
`Objective` has what all tasks share; the rest is its head's, `number_head.py`, `class_heads.py`.

Axes: B rows, O outputs, L labels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from trainer.calibration import CalibratedEvaluator, Calibration
from trainer.candidates import Candidates
from trainer.class_heads import BinaryHead, ClassHead, LabelSetHead
from trainer.config import Config
from trainer.decision import Decision, undecided
from trainer.errors import UserError
from trainer.metric_names import resolve_monitor
from trainer.metrics import Evaluator, Metrics, Vector
from trainer.number_head import NumberHead
from trainer.optimizer_config import OptimizerConfig
from trainer.statistics import TableStatistics

# Of the wide part where it is auto. A weight of share p of the rows moves by rate * curvature * p a
# step towards its place, so that over the curvature all losses learn at one speed. Measured on real
# rows, test figures: taxi fares (huber) MAE 1.86, 1.88, 1.89, 1.95 at 0.4, 1, 2, 4 times this rate;
# late flights (log loss) AUC .679, .692, .694, .687 at 0.2, 1, 2, 5 times (November 2026).
_WIDE_RATE = 0.05
# Of optimizers whose steps do not depend on the size of the gradient.
_SCALE_FREE_RATES = {"adam": 0.001, "adamw": 0.001, "rmsprop": 0.001, "adadelta": 1.0}


class Head(Protocol):
    """From the logits of a task to its loss, its score and its metrics.

    num_outputs: O. loss_name: of the start log. offset: (O,), where the logits start.
    """

    num_outputs: int
    loss_name: str
    offset: Vector

    @property
    def curvature(self) -> float:
        """Second derivative of a row's loss by its logit, where training starts; 1 for mae."""
        ...

    @property
    def constant_logits(self) -> Vector:
        """(O,) logits of the best constant for the training rows."""
        ...

    def loss(self, labels_BL: tf.Tensor, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 loss of each row."""
        ...

    def prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """Float32 scores that are served: (B,) values or probabilities, or (B, O) of these."""
        ...

    def evaluator(self, thresholds: Sequence[float] = ()) -> Evaluator:
        """Takes in rows and gives the metrics of the task, by thresholds other than its own."""
        ...

    def describe(self) -> str:
        """What is learned, for the start log."""
        ...


_HEADS: dict[str, Callable[[Config, TableStatistics], Head]] = {
    "regression": NumberHead,
    "binary": BinaryHead,
    "multiclass": ClassHead,
    "multilabel": LabelSetHead,
}


class Objective:
    """The head of a task, and the metric that chooses the weights."""

    def __init__(self, config: Config, statistics: TableStatistics):
        """Choose offset, scale and loss from the training label.

        Raises:
            UserError: the rows have no weight or no label, or the monitored metric does not exist.
        """
        if not statistics.mean_weight:
            raise UserError(
                f"weight column {config.weight!r} is 0 in all training rows; none would train"
            )
        self.task = config.label.task
        self.head = _HEADS[self.task](config, statistics)
        self.num_outputs, self.offset = self.head.num_outputs, self.head.offset
        self.loss_name = self.head.loss_name
        self.loss = self.head.loss
        self.decision = undecided(config.evaluation, self.task)
        self.monitor, goal = resolve_monitor(config.training.monitor, self.task, config.model.loss)
        self.maximize = goal == "maximize"

    @property
    def curvature(self) -> float:
        """See `Head`."""
        return self.head.curvature

    def with_learning_rate(self, config: OptimizerConfig) -> OptimizerConfig:
        """The config with a number for a wide learning rate that is auto."""
        if config.wide_learning_rate != "auto":
            return config
        rate = _SCALE_FREE_RATES.get(config.wide_optimizer, _WIDE_RATE / self.curvature)
        return config.model_copy(update={"wide_learning_rate": rate})

    def draw(self, seed: tf.Tensor) -> tf.Tensor | None:
        """(S,) int32 classes that a step of a sampled softmax looks at; None for all.

        Args:
            seed: (2,) int32 of step and replica.
        """
        return self.head.draw(seed) if isinstance(self.head, ClassHead) else None

    def candidates(self, labels_BL: tf.Tensor, drawn_S: tf.Tensor | None) -> Candidates | None:
        """The classes for rows of these labels and what was drawn; None for all."""
        if not isinstance(self.head, ClassHead):
            return None
        return self.head.candidates(labels_BL, drawn_S)

    def training_loss(
        self, labels_BL: tf.Tensor, logits: tf.Tensor, candidates: Candidates | None
    ) -> tf.Tensor:
        """(B,) float32 loss of each row from (B, O) logits, or those of the candidates."""
        if candidates is None or not isinstance(self.head, ClassHead):
            return self.loss(labels_BL, logits)
        return self.head.sampled_loss(candidates, logits)

    def with_decision(self, decision: Decision) -> Objective:
        """The same with a calibration and thresholds: of scores and metrics, never of the loss."""
        decided = copy.copy(self)
        decided.decision = decision
        return decided

    def prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """Float32 scores that are served, calibrated: see `Head.prediction`."""
        return self.head.prediction(calibrated(logits_BO, self.decision.calibration))

    def raw_prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """The scores without the calibration."""
        return self.head.prediction(logits_BO)

    def served(self, logits_BO: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """What the exported model serves: scores, or calibrated and raw scores."""
        score = self.prediction(logits_BO)
        if self.decision.calibration.kind == "none":
            return score
        return score, self.raw_prediction(logits_BO)

    def evaluator(self) -> Evaluator:
        """Takes in logits and gives the metrics of the calibrated scores and the decisions."""
        evaluator = self.head.evaluator(self.decision.thresholds)
        calibration = self.decision.calibration
        if calibration.kind == "none":
            return evaluator
        return CalibratedEvaluator(evaluator, calibration)

    def metrics(
        self, labels_BL: np.ndarray, logits_BO: np.ndarray, weight_B: np.ndarray
    ) -> Metrics:
        """Metrics of the task over all rows, in the label's own units."""
        evaluator = self.evaluator()
        evaluator.add(labels_BL, logits_BO, weight_B)
        return evaluator.result()

    def is_better(self, value: float, best: float | None, min_delta: float) -> bool:
        """Whether a monitored value beats the best one so far by more than `min_delta`."""
        if not math.isfinite(value):
            return False
        if best is None:
            return True
        return value > best + min_delta if self.maximize else value < best - min_delta

    def describe(self) -> str:
        """One line for the start log."""
        return self.head.describe()


def calibrated(logits_BO: tf.Tensor, calibration: Calibration) -> tf.Tensor:
    """(B, O) float32 logits after `Calibration.apply`."""
    if calibration.kind == "none":
        return logits_BO
    logits_BO = tf.cast(logits_BO, tf.float32)
    if calibration.kind == "isotonic":
        return _interpolated(logits_BO, calibration)
    return logits_BO * tf.constant(calibration.scales) + tf.constant(calibration.shifts)


def _interpolated(logits_BO: tf.Tensor, calibration: Calibration) -> tf.Tensor:
    """Straight lines between the knots, as `np.interp` has them."""
    knots, values = tf.constant(calibration.knots), tf.constant(calibration.values)
    num_knots = len(calibration.knots)
    if num_knots == 1:
        return tf.fill(tf.shape(logits_BO), values[0])
    # A knot ends the line before it: above is the first that is not below the logit.
    above = tf.clip_by_value(tf.searchsorted(knots, tf.reshape(logits_BO, [-1])), 1, num_knots - 1)
    above = tf.reshape(above, tf.shape(logits_BO))
    low, high = tf.gather(knots, above - 1), tf.gather(knots, above)
    share = tf.clip_by_value((logits_BO - low) / (high - low), 0.0, 1.0)
    low_value, high_value = tf.gather(values, above - 1), tf.gather(values, above)
    return low_value + share * (high_value - low_value)
