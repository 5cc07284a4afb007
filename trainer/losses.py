"""Losses of classes and labels from logits, row by row: smoothed, focal and weighted by class.

log_loss  -sum_k y_k log p_k
focal     -sum_k y_k (1 - p_k)^gamma log p_k

Labels y are smoothed by e: y (1 - e) + e / K, with K = 2 for a yes or no. Weights by class are
those of the label as it is given. Imports candidates only.

Axes: B rows, K classes or labels.
Source: Lin et al. 2017, "Focal Loss for Dense Object Detection"; Szegedy et al. 2016, "Rethinking
the Inception Architecture", section 7, as Keras' label_smoothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.candidates import Candidates

# Of a class that does not count; not infinite, which times a gradient of 0 is no number.
_NO_LOGIT = -1e30

Vector = npt.NDArray[np.float64]


class ClassLoss(NamedTuple):
    """What changes the log loss; gamma 0 and smoothing 0 change nothing."""

    gamma: float = 0.0
    smoothing: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether it is the log loss."""
        return not (self.gamma or self.smoothing)


def sigmoid_losses(labels: tf.Tensor, logits: tf.Tensor, loss: ClassLoss) -> tf.Tensor:
    """Losses of yes or no, of any one shape; labels are 0 or 1."""
    if loss.is_plain:
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    labels = labels * (1 - loss.smoothing) + loss.smoothing / 2
    yes, no = tf.nn.softplus(-logits), tf.nn.softplus(logits)  # -log p, -log (1 - p)
    if loss.gamma:
        # (1 - p)^gamma = exp(-gamma softplus(z)): no power of 0, whose gradient has no number.
        yes, no = yes * tf.exp(-loss.gamma * no), no * tf.exp(-loss.gamma * yes)
    return labels * yes + (1 - labels) * no


def softmax_losses(labels_BL: tf.Tensor, logits_BK: tf.Tensor, loss: ClassLoss) -> tf.Tensor:
    """(B,) losses of one class of K.

    Args:
        labels_BL: (B, 1) numbers of classes, or (B, K) probabilities.
        logits_BK: (B, K).
        loss: what changes the log loss.
    """
    num_classes = logits_BK.shape[1]
    is_number = labels_BL.shape[1] == 1
    if is_number and loss.is_plain:
        class_B = tf.cast(labels_BL[:, 0], tf.int32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(class_B, logits_BK)
    if is_number:
        labels_BL = tf.one_hot(tf.cast(labels_BL[:, 0], tf.int32), num_classes)
    labels_BK = labels_BL * (1 - loss.smoothing) + loss.smoothing / num_classes
    losses_BK = -tf.nn.log_softmax(logits_BK)
    if loss.gamma:
        # 1 - p from below: a probability that rounds to 1 would have no gradient of its power.
        rest_BK = tf.maximum(-tf.math.expm1(-losses_BK), 1e-12)
        losses_BK *= tf.pow(rest_BK, loss.gamma)
    return tf.reduce_sum(labels_BK * losses_BK, axis=1)


def sampled_softmax_losses(candidates: Candidates, logits_BT: tf.Tensor) -> tf.Tensor:
    """(B,) log losses, estimated from some of the classes; see `candidates.py`.

    Args:
        candidates: the classes. A drawn one that is the row's own does not count.
        logits_BT: (B, 1 + S), of the own class and of the drawn ones.
    """
    is_own_BS = tf.equal(candidates.own_B[:, tf.newaxis], candidates.drawn_S)
    others_BS = tf.where(is_own_BS, _NO_LOGIT, logits_BT[:, 1:] - candidates.log_counts_S)
    corrected_BT = tf.concat([logits_BT[:, :1], others_BS], axis=1)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.zeros_like(candidates.own_B), corrected_BT
    )


def softmax_curvature(share_K: Vector, mass_K: Vector, gamma: float) -> float:
    """Mean second derivative of the loss of a row by the logits, where training starts.

    There every row has the probabilities `share_K`. The Hessian of a softmax has one direction
    without curvature, the sum of all logits, so the mean is its trace over K - 1. For a class t of
    probability p, with s = sum_k share_k^2 and f the loss as a function of p,

        trace = f''(p) p^2 (1 - 2 p + s) + 2 f'(p) p (s - p)

    which is 1 - s for the log loss f = -log p. Two classes have twice the curvature of the one
    logit of a binary task, p (1 - p), for both of their logits move.

    >>> shares = np.array([0.2, 0.8])
    >>> round(softmax_curvature(shares, shares, gamma=0.0), 6)
    0.32

    Args:
        share_K: probabilities at the start, above 0.
        mass_K: share of the rows of each class, times its weight.
        gamma: of the focal loss; 0 for the log loss.
    """
    p, rest = share_K, 1 - share_K
    squares = float((p**2).sum())
    first = -(rest**gamma) / p
    second = rest**gamma / p**2
    if gamma:
        rest = np.maximum(rest, 1e-12)
        first += gamma * rest ** (gamma - 1) * np.log(p)
        second += 2 * gamma * rest ** (gamma - 1) / p
        second -= gamma * (gamma - 1) * rest ** (gamma - 2) * np.log(p)
    trace_K = second * p**2 * (1 - 2 * p + squares) + 2 * first * p * (squares - p)
    return float((mass_K * trace_K).sum()) / max(len(p) - 1, 1)
