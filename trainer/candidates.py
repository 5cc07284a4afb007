"""The classes that a step of a sampled softmax looks at: the rows' own, and some that are drawn.

The sum over all classes in the denominator of a softmax is estimated from S of them,

    sum_{k != y} exp(z_k)  ~  sum_{s, class_s != y} exp(z_s) / (S q_s)

where S q is how often a class is drawn on average, so that its mean is exact, and with S its value.
One class is drawn from each of S equal parts of the distribution: common ones come in every step,
and the estimate varies less than with S independent draws.

Rows that tilt the frequencies of the classes, as those of words and products, learn what all
classes would teach: of 20,000 classes, 1,024 drawn, 1,000 steps of 256 rows, the log loss is 0.3%
and the accuracy 0.1% below those of the full softmax; a step is 3 to 4 times as fast, and 8 times
of 1,024 rows (2 busy cores). Where a row has
a few likely classes that are rare among all, they are seldom drawn against each other, and it
learns slowly: log loss 6.2% above, accuracy 35% below (scripts/benchmark_softmax.py,
--planted=peaked). In the end it is too sure: a draw that stands for many counts for less than these
in the gradient. Of probabilities 0.4, 0.2, 0.1, ..., each class drawn in a quarter of the steps,
the first becomes 0.61 (all draws enumerated, November 2026).

Imports TensorFlow and dropout, whose bits these are. Axes: B rows, S drawn classes, K classes.
Source: Bengio and Senecal 2008, Adaptive Importance Sampling to Accelerate Training of a Neural
Probabilistic Language Model; Jean et al. 2015, On Using Very Large Target Vocabulary for Neural
Machine Translation; Blanc and Rendle 2018, Adaptive Sampled Softmax with Kernel Based Sampling,
equation 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.dropout import random_bits

# Classes are drawn by their share to this power. Of 512 draws of 2,000 classes, those of a row few
# (`benchmark_softmax.Peaked`), the log loss of drawn test labels was 3.4526 with 0.75 and 3.4541
# with 1, 3.4386 of the full softmax.
_POWER = 0.75
_RANGE = 2**31
# Other bits than those of dropout and noise.
_DRAWS = 1_935_289_751


class Candidates(NamedTuple):
    """Of a batch, or a part of it.

    own_B: int32 class of each row.
    drawn_S: int32 drawn classes, for all rows; some may be equal.
    log_counts_S: float32 logarithms of how often each of them is drawn a step, on average.
    """

    own_B: tf.Tensor
    drawn_S: tf.Tensor
    log_counts_S: tf.Tensor

    @property
    def classes(self) -> tf.Tensor:
        """(B + S,) int32."""
        return tf.concat([self.own_B, self.drawn_S], axis=0)

    def columns(self, numbers_K: tf.Tensor) -> tf.Tensor:
        """(B, 1 + S): of one number for each class, those of the own and of the drawn ones."""
        found = tf.gather(numbers_K, self.classes)
        num_rows = self.own_B.shape[0]
        drawn_BS = tf.tile(found[tf.newaxis, num_rows:], [num_rows, 1])
        return tf.concat([found[:num_rows, tf.newaxis], drawn_BS], axis=1)


class ClassSampler:
    """Draws classes by a power of their share."""

    def __init__(self, mass_K: npt.NDArray[np.float64], num_sampled: int):
        """Divide the range of the draws among the classes, at least one number for each.

        Args:
            mass_K: expected share of each class, of any sum.
            num_sampled: S.
        """
        self.num_sampled = num_sampled
        self._part = _RANGE // num_sampled
        total = self._part * num_sampled
        power_K = mass_K**_POWER
        ends_K = np.floor(np.cumsum(power_K) / power_K.sum() * (total - len(mass_K)))
        ends_K[-1] = total - len(mass_K)
        self._ends_K = (ends_K + np.arange(1, len(mass_K) + 1)).astype(np.int64)
        units_K = np.diff(self._ends_K, prepend=0)
        self.count_K = num_sampled * units_K / total

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """(S,) int32 classes, a pure function of the (2,) int32 seed of step and replica."""
        bits_S = random_bits((1, self.num_sampled), seed + tf.constant([_DRAWS, 0]))[0]
        place_S = tf.cast(bits_S % tf.constant(self._part, tf.uint32), tf.int32)
        place_S += tf.range(self.num_sampled) * self._part
        # Without the last end, which no place reaches, and int32 does not.
        return tf.searchsorted(tf.constant(self._ends_K[:-1], tf.int32), place_S, side="right")

    def candidates(self, own_B: tf.Tensor, drawn_S: tf.Tensor) -> Candidates:
        """Of rows of these classes and what was drawn."""
        log_counts_K = tf.constant(np.log(self.count_K), tf.float32)
        return Candidates(own_B, drawn_S, tf.gather(log_counts_K, drawn_S))
