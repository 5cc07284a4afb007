"""The heads of the tasks of classes: yes or no, one of K classes, any of K labels.

Weights by class count in training only: they multiply the loss of a row, and the offsets start from
the shares that they make. Metrics never see them.

Axes: B rows, O outputs, L labels, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.candidates import Candidates, ClassSampler
from trainer.class_metrics import ClassEvaluator, LabelSetEvaluator
from trainer.config import Config
from trainer.errors import UserError, listed, nearest
from trainer.label import Label
from trainer.losses import (
    ClassLoss,
    sampled_softmax_losses,
    sigmoid_losses,
    softmax_curvature,
    softmax_losses,
)
from trainer.metrics import Evaluator, RowEvaluator, Vector, binary_metrics
from trainer.model_config import ModelConfig
from trainer.number_head import label_numbers, warn_of_one_value
from trainer.statistics import TableStatistics

# The offset of a class that no training row has would be infinite.
_LEAST_RATE = 1e-6
# The same for the constant predictor, whose log loss is measured.
_SMALLEST_RATE = 1e-15
# Of many classes the mean curvature goes to 0, and a rate over it would grow without bound, while a
# logit that has left its start has up to 1/4. Measured on 40,000 planted rows of 99 classes and 500
# users: log loss 2.08, 2.07, 2.09 at rates of 0.1, 1 (this bound) and 4; without it the rate would
# be 5.5 (November 2026).
_LEAST_CURVATURE = 0.05


class BinaryHead:
    """The probability of the positive class, the sigmoid of one logit."""

    num_outputs = 1

    def __init__(self, config: Config, statistics: TableStatistics):
        """Choose the offset and the loss.

        Raises:
            UserError: no row has the positive class, or one of the weights does not exist.
        """
        label = label_numbers(config, statistics)
        self.train_mean = label.mean
        self.threshold = config.evaluation.threshold_rule.while_training
        self.loss_name, self._loss = _loss_of(config.model)
        rate = _clipped(label.mean, _LEAST_RATE)
        names = [str(value) for value in config.label.class_values]
        self._rates = np.array([1 - rate, rate])
        self.weights = class_weights(config.model, names, 0.5 / self._rates)
        offset = math.log(rate / (1 - rate)) + math.log(self.weights[1] / self.weights[0])
        self.offset = np.array([offset if config.model.output_offset == "mean" else 0.0])

    @property
    def curvature(self) -> float:
        """Second derivative of a row's loss by its logit, where training starts."""
        if self._loss.is_plain and (self.weights == 1).all():
            return float(self._rates[0] * self._rates[1])
        mass = self._rates * self.weights
        return softmax_curvature(mass / mass.sum(), mass, self._loss.gamma) / 2

    @property
    def constant_logits(self) -> Vector:
        """(O,) logits of the training mean; of 0 or 1 moved inside, so that its loss is finite."""
        return np.array([_log_odds(_clipped(self.train_mean, _SMALLEST_RATE))])

    def loss(self, labels_BL: tf.Tensor, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 loss of each row."""
        label_B = labels_BL[:, 0]
        loss_B = sigmoid_losses(label_B, logits_BO[:, 0], self._loss)
        if (self.weights == 1).all():
            return loss_B
        negative, positive = self.weights.astype(np.float32)
        return loss_B * (label_B * positive + (1 - label_B) * negative)

    def prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 probabilities of the positive class."""
        return tf.sigmoid(logits_BO[:, 0])

    def evaluator(self, thresholds: Sequence[float] = ()) -> Evaluator:
        """Metrics of the probabilities and, by the threshold, of the decisions."""
        (threshold,) = thresholds or (self.threshold,)
        return RowEvaluator(
            lambda label, logit, weight: binary_metrics(label, logit, weight, threshold)
        )

    def describe(self) -> str:
        """Of the start log."""
        text = f"binary, {self.loss_name}, logit offset {self.offset[0]:.4g}"
        return text + _weights_text(self.weights)


class ClassHead:
    """The probabilities of K classes, the softmax of K logits."""

    def __init__(self, config: Config, statistics: TableStatistics):
        """Choose the offsets and the loss.

        Raises:
            UserError: the label has no class, or a class of the weights does not exist.
        """
        self.classes, count_K = _counts_of(config.label, statistics)
        self.num_outputs = len(self.classes)
        self.loss_name, self._loss = _loss_of(config.model)
        self._train_share_K = count_K / count_K.sum()
        share_K = np.maximum(self._train_share_K, _LEAST_RATE)
        balanced_K = 1 / (self.num_outputs * share_K)
        self.weights = class_weights(config.model, self.classes, balanced_K)
        self._mass_K = share_K * self.weights
        self._sampler: ClassSampler | None = None
        if config.model.softmax == "sampled":
            if config.model.num_sampled >= self.num_outputs:
                raise UserError(
                    f"model.num_sampled is {config.model.num_sampled} of {self.num_outputs} "
                    "classes; lower it, or use model.softmax full"
                )
            self._sampler = ClassSampler(self._mass_K, config.model.num_sampled)
        has_offset = config.model.output_offset == "mean"
        self.offset = (
            np.log(self._mass_K / self._mass_K.sum()) if has_offset else np.zeros(self.num_outputs)
        )

    @property
    def curvature(self) -> float:
        """Mean second derivative of a row's loss by the logits, where training starts."""
        start_K = self._mass_K / self._mass_K.sum()
        return max(softmax_curvature(start_K, self._mass_K, self._loss.gamma), _LEAST_CURVATURE)

    @property
    def constant_logits(self) -> Vector:
        """(O,) logits of the classes' shares of the training rows."""
        return np.log(np.maximum(self._train_share_K, _SMALLEST_RATE))

    def loss(self, labels_BL: tf.Tensor, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 loss of each row."""
        return self._weighted(softmax_losses(labels_BL, logits_BO, self._loss), labels_BL)

    def draw(self, seed: tf.Tensor) -> tf.Tensor | None:
        """(S,) int32 classes for a step, of its (2,) int32 seed; None for all classes."""
        return None if self._sampler is None else self._sampler.draw(seed)

    def candidates(self, labels_BL: tf.Tensor, drawn_S: tf.Tensor | None) -> Candidates | None:
        """The classes for rows of these labels and what was drawn; None for all."""
        if self._sampler is None or drawn_S is None:
            return None
        return self._sampler.candidates(tf.cast(labels_BL[:, 0], tf.int32), drawn_S)

    def sampled_loss(self, candidates: Candidates, logits_BT: tf.Tensor) -> tf.Tensor:
        """(B,) float32 estimated loss of each row from (B, 1 + S) logits of the candidates."""
        loss_B = sampled_softmax_losses(candidates, logits_BT)
        return self._weighted(loss_B, candidates.own_B[:, tf.newaxis])

    def _weighted(self, loss_B: tf.Tensor, labels_BL: tf.Tensor) -> tf.Tensor:
        if (self.weights == 1).all():
            return loss_B
        weight_K = tf.constant(self.weights, tf.float32)
        if labels_BL.shape[1] == 1:
            return loss_B * tf.gather(weight_K, tf.cast(labels_BL[:, 0], tf.int32))
        return loss_B * tf.linalg.matvec(labels_BL, weight_K)

    def prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B, K) float32 probabilities, in the order of the classes."""
        return tf.nn.softmax(logits_BO)

    def evaluator(self, thresholds: Sequence[float] = ()) -> Evaluator:
        """Metrics of the probabilities and of the most probable class."""
        return ClassEvaluator(self.classes)

    def describe(self) -> str:
        """Of the start log."""
        text = f"multiclass, {self.loss_name}, {self.num_outputs} classes: "
        text += listed(self.classes[:10]) + _weights_text(self.weights)
        if self._sampler is None:
            return text
        return text + f"; sampled softmax, {self._sampler.num_sampled} classes drawn a step"


class LabelSetHead:
    """The probability of each of K labels, the sigmoids of K logits.

    The loss of a row is the sum over its labels, so that each one's wide weights learn as in a
    binary task of its own, however many other labels there are.
    """

    def __init__(self, config: Config, statistics: TableStatistics):
        """Choose the offsets and the loss.

        Raises:
            UserError: there is no label, or one of the weights does not exist.
        """
        self.classes, count_K = _counts_of(config.label, statistics)
        self.num_outputs = len(self.classes)
        self.threshold = config.evaluation.threshold_rule.while_training
        self.loss_name, self._loss = _loss_of(config.model)
        self._rate_K = count_K / statistics.num_rows
        if not ((self._rate_K > 0) & (self._rate_K < 1)).any():
            warn_of_one_value(config.label.name, "each label or none", statistics)
        rate_K = np.clip(self._rate_K, _LEAST_RATE, 1 - _LEAST_RATE)
        self.weights = class_weights(config.model, self.classes, (1 - rate_K) / rate_K)
        self._mass_2K = np.stack([1 - rate_K, rate_K * self.weights])
        has_offset = config.model.output_offset == "mean"
        logit_K = np.log(self._mass_2K[1] / self._mass_2K[0])
        self.offset = logit_K if has_offset else np.zeros(self.num_outputs)

    @property
    def curvature(self) -> float:
        """Mean over labels of the second derivative of the loss by the logit, at the start."""
        curvatures = [
            softmax_curvature(mass / mass.sum(), mass, self._loss.gamma) / 2
            for mass in self._mass_2K.T
        ]
        return max(float(np.mean(curvatures)), _LEAST_CURVATURE)

    @property
    def constant_logits(self) -> Vector:
        """(O,) log-odds of the labels in the training rows."""
        rate_K = np.clip(self._rate_K, _SMALLEST_RATE, 1 - _SMALLEST_RATE)
        return np.log(rate_K) - np.log1p(-rate_K)

    def loss(self, labels_BL: tf.Tensor, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 loss of each row."""
        losses_BK = sigmoid_losses(labels_BL, logits_BO, self._loss)
        if (self.weights != 1).any():
            losses_BK *= labels_BL * self.weights.astype(np.float32) + (1 - labels_BL)
        return tf.reduce_sum(losses_BK, axis=1)

    def prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B, K) float32 probabilities, in the order of the labels."""
        return tf.sigmoid(logits_BO)

    def evaluator(self, thresholds: Sequence[float] = ()) -> Evaluator:
        """Metrics of the probabilities and, by the thresholds, of the decisions."""
        return LabelSetEvaluator(self.classes, thresholds or (self.threshold,))

    def describe(self) -> str:
        """Of the start log."""
        text = f"multilabel, {self.loss_name}, {self.num_outputs} labels: "
        return text + listed(self.classes[:10]) + _weights_text(self.weights)


def class_weights(model: ModelConfig, classes: Sequence[str], balanced: Vector) -> Vector:
    """(K,) weights of `model.class_weights`.

    Args:
        model: the section.
        classes: names.
        balanced: weights for auto.

    Raises:
        UserError: there is no such class.
    """
    wanted = model.class_weights
    if not isinstance(wanted, Mapping):
        return balanced if wanted == "auto" else np.ones(len(classes))
    for name in wanted:
        if name not in classes:
            raise UserError(
                f"model.class_weights: {name!r} is no class{nearest(name, classes)}; the classes "
                f"are {listed(classes[:20])}"
            )
    return np.array([wanted.get(name, 1.0) for name in classes])


def _counts_of(label: Label, statistics: TableStatistics) -> tuple[tuple[str, ...], Vector]:
    """Names and counts of the classes.

    Raises:
        UserError: none has rows, or a name has a line break.
    """
    names = tuple(name for name, _ in statistics.classes)
    counts = np.array([count for _, count in statistics.classes])
    if not counts.any():
        raise UserError(
            f"label {label.name!r} has no class in the {statistics.num_rows} training rows; check "
            "label.column and label.classes"
        )
    if label.task == "multiclass" and np.count_nonzero(counts) == 1:
        warn_of_one_value(label.name, names[int(np.argmax(counts))], statistics)
    broken = next((name for name in names if len(name.splitlines()) > 1), None)
    if broken is not None:
        raise UserError(
            f"label {label.name!r}: the class {broken!r} has a line break; classes.txt of the "
            "model has one class a line. Rename it in the data"
        )
    return names, counts


def _loss_of(model: ModelConfig) -> tuple[str, ClassLoss]:
    name = "log_loss" if model.loss == "auto" else model.loss
    gamma = model.focal_gamma if name == "focal" else 0.0
    return name, ClassLoss(gamma, model.label_smoothing)


def _clipped(rate: float, least: float) -> float:
    return min(max(rate, least), 1 - least)


def _log_odds(rate: float) -> float:
    return math.log(rate) - math.log1p(-rate)


def _weights_text(weights: Vector) -> str:
    if (weights == 1).all():
        return ""
    return f", weights by class {weights.min():.3g} to {weights.max():.3g}"
