"""The head of a regression: from the logit of a row to its value, and the losses of numbers.

Axes: B rows, O = 1 outputs, L = 1 labels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.errors import UserError
from trainer.metrics import Evaluator, Metrics, RowEvaluator, Vector, regression_metrics
from trainer.number_statistics import NumberStatistics
from trainer.statistics import TableStatistics

logger = logging.getLogger(__name__)

HEAVY_TAIL_KURTOSIS = 10.0
# A mean count of 0 would have the logit -infinity.
_LEAST_COUNT = 1e-6


class NumberHead:
    """A value: mean + scale * logit of the label as it is learned, or exp(logit) of a count."""

    num_outputs = 1

    def __init__(self, config: Config, statistics: TableStatistics):
        """Choose the loss, the scale and the offset.

        Raises:
            UserError: the statistics are those of another kind of label.
        """
        label = label_numbers(config, statistics)
        model = config.model
        self.loss_name: str = model.loss
        if model.loss == "auto":
            self.loss_name = "huber" if label.kurtosis > HEAVY_TAIL_KURTOSIS else "mse"
        self.is_count = self.loss_name == "poisson"
        self.is_log = config.label.transform == "log1p"
        self.huber_delta = model.huber_delta
        self.train_mean = label.mean
        self.mean, self.scale, offset = 0.0, 1.0, 0.0
        if model.standardize_target and not self.is_count:
            # A label of one value has no deviation to learn in.
            self.mean, self.scale = label.mean, label.sd or 1.0
        elif model.output_offset == "mean":
            offset = _log(label.mean) if self.is_count else label.mean
        self.offset = np.array([offset])

    @property
    def curvature(self) -> float:
        """Second derivative of a row's loss by its logit, where training starts; 1 for mae.

        Of exp(z) - y z, the loss of a count, it is exp(z): the mean count.
        """
        if self.is_count:
            return self.train_mean
        return 2.0 if self.loss_name == "mse" else 1.0

    @property
    def constant_logits(self) -> Vector:
        """(O,) logits of the training mean."""
        if self.is_count:
            return np.array([_log(self.train_mean)])
        return np.array([(self.train_mean - self.mean) / self.scale])

    def loss(self, labels_BL: tf.Tensor, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 loss of each row."""
        label_B, logit_B = labels_BL[:, 0], logits_BO[:, 0]
        if self.is_count:
            return tf.exp(logit_B) - label_B * logit_B
        error_B = (label_B - self.mean) / self.scale - logit_B
        if self.loss_name == "mae":
            return tf.abs(error_B)
        if self.loss_name == "huber":
            return keras.losses.huber(
                tf.zeros_like(error_B)[:, tf.newaxis], error_B[:, tf.newaxis], self.huber_delta
            )
        return tf.square(error_B)

    def prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 values in the label's own units."""
        if self.is_count:
            return tf.exp(logits_BO[:, 0])
        value_B = self.mean + self.scale * logits_BO[:, 0]
        return tf.math.expm1(value_B) if self.is_log else value_B

    def evaluator(self, thresholds: Sequence[float] = ()) -> Evaluator:
        """Metrics in the label's own units."""
        return RowEvaluator(self._metrics)

    def describe(self) -> str:
        """Of the start log."""
        if self.is_count:
            return f"regression, poisson, exp(logit), offset {self.offset[0]:.4g}"
        target = f"{self.mean:.4g} + {self.scale:.4g} x logit"
        shown = f"exp({target}) - 1" if self.is_log else f"({target})"
        return f"regression, {self.loss_name}, target {shown}"

    def in_units(self, label_B: Vector, logit_B: Vector) -> tuple[Vector, Vector]:
        """Labels as they are learned and logits, as labels and predictions in the label's units."""
        if self.is_count:
            return label_B, np.exp(logit_B)
        value_B = self.mean + self.scale * logit_B
        if self.is_log:
            return np.expm1(label_B.astype(np.float64)), np.expm1(value_B)
        return label_B, value_B

    def _metrics(self, label_B: Vector, logit_B: Vector, weight_B: Vector) -> Metrics:
        label_B, value_B = self.in_units(label_B, logit_B)
        return regression_metrics(label_B, value_B, weight_B, is_count=self.is_count)


def _log(mean_count: float) -> float:
    return math.log(max(mean_count, _LEAST_COUNT))


def label_numbers(config: Config, statistics: TableStatistics) -> NumberStatistics:
    """The statistics of a label that is a number; of one value it is worth a warning.

    Raises:
        UserError: they are those of another kind of label.
    """
    label, name = statistics.label, config.label.name
    if label is None:
        raise UserError(
            f"the statistics have no numbers of the label {name!r}; data.statistics_path was "
            "written for another task. Leave it out to compute them"
        )
    if label.minimum == label.maximum:
        warn_of_one_value(name, f"{label.minimum:g}", statistics)
    return label


def warn_of_one_value(name: str, value: str, statistics: TableStatistics) -> None:
    """Say that a model of a constant comes out."""
    logger.warning(
        "label %r has one value, %s, in all %d training rows: the model can say that and no more. "
        "Check label.column and the rows",
        name,
        value,
        statistics.num_rows,
    )
