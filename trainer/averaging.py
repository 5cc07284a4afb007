"""Exponential moving average of the weights.

Imports optimizers for the vocabulary of parameters; must not know the loop that calls it.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.optimizers import Parameter, Untracked


class MovingAverage(tf.Module):
    """A running average of every parameter but the tables whose updates are sparse.

    After step t (0 at the first): shadow = d * shadow + (1 - d) * weight with
    d = min(decay, (1 + t) / (10 + t)); the shadow starts as the weight. A table with sparse updates
    is left out, since averaging it would touch all its rows each step.

    Source: the warm-up is that of `tf.train.ExponentialMovingAverage`.
    """

    def __init__(self, parameters: Sequence[Parameter], decay: float) -> None:
        super().__init__(name="moving_average")
        self._decay = decay
        self._weights = Untracked(tuple(p.variable for p in parameters if not p.is_sparse))
        self.shadows = []
        for weight in self._weights.items:
            with tf.distribute.get_strategy().extended.colocate_vars_with(weight):
                self.shadows.append(tf.Variable(weight, trainable=False, name="average"))

    def update(self, step: tf.Tensor) -> None:
        """Move the shadows towards the weights; call it after the optimizer, in the same step.

        Args:
            step: () int64, steps done before this one.
        """
        t = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1.0 + t) / (10.0 + t))
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            return context.merge_call(self._update_replicas, args=(decay,))
        for shadow, weight in zip(self.shadows, self._weights.items, strict=True):
            _move(shadow, weight, decay)

    def _update_replicas(self, strategy: tf.distribute.Strategy, decay: tf.Tensor) -> None:
        for shadow, weight in zip(self.shadows, self._weights.items, strict=True):
            strategy.extended.update(shadow, _move, args=(weight, decay), group=False)

    @tf.function(autograph=False)
    def swap(self) -> None:
        """Exchange weights and shadows; a second call takes it back."""
        for shadow, weight in zip(self.shadows, self._weights.items, strict=True):
            average = tf.identity(shadow)
            shadow.assign(weight)
            weight.assign(average)


def _move(shadow: tf.Variable, weight: tf.Variable, decay: tf.Tensor) -> None:
    shadow.assign(shadow + (1.0 - decay) * (weight - shadow))
