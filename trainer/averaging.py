"""Exponential moving average of the weights.

Imports optimizers for the vocabulary of parameters; must not know the loop that calls it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import tensorflow as tf

from trainer.optimizers import Parameter, Untracked


class MovingAverage(tf.Module):
    """A running average of every parameter but the tables whose updates are sparse.

    After step t (0 at the first): shadow = d * shadow + (1 - d) * weight with
    d = min(decay, (1 + t) / (10 + t)); the shadow starts as the weight. A table with sparse updates
    is left out, since averaging it would touch all its rows each step; so is a statistic, which is
    an average already. Where a penalty holds weights at exactly 0 (FTRL's L1), the shadow of a
    weight that is 0 is 0, and starts again from there: the exported model has these zeros.

    Source: the warm-up is that of `tf.train.ExponentialMovingAverage`.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        decay: float,
        holds_zeros: Sequence[bool] | None = None,
    ) -> None:
        """Start as the weights.

        Args:
            parameters: of the model.
            decay: d after the warm-up.
            holds_zeros: of each parameter, whether weights of exactly 0 are 0 in the average; None
                for nowhere.
        """
        super().__init__(name="moving_average")
        self._decay = decay
        averaged = [not p.is_sparse and p.kind != "statistic" for p in parameters]
        zeros = [False] * len(parameters) if holds_zeros is None else holds_zeros
        self._holds_zeros = list(itertools.compress(zeros, averaged))
        self._weights = Untracked(
            tuple(p.variable for p in itertools.compress(parameters, averaged))
        )
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
        for shadow, *arguments in self._moves(decay):
            _move(shadow, *arguments)

    def _update_replicas(self, strategy: tf.distribute.Strategy, decay: tf.Tensor) -> None:
        for shadow, *arguments in self._moves(decay):
            strategy.extended.update(shadow, _move, args=tuple(arguments), group=False)

    def _moves(
        self, decay: tf.Tensor
    ) -> Iterator[tuple[tf.Variable, tf.Variable, tf.Tensor, bool]]:
        for shadow, weight, holds_zeros in zip(
            self.shadows, self._weights.items, self._holds_zeros, strict=True
        ):
            yield shadow, weight, decay, holds_zeros

    @tf.function(autograph=False)
    def swap(self) -> None:
        """Exchange weights and shadows; a second call takes it back."""
        for shadow, weight in zip(self.shadows, self._weights.items, strict=True):
            average = tf.identity(shadow)
            shadow.assign(weight)
            weight.assign(average)


def _move(shadow: tf.Variable, weight: tf.Variable, decay: tf.Tensor, holds_zeros: bool) -> None:
    moved = shadow + (1.0 - decay) * (weight - shadow)
    shadow.assign(tf.where(tf.equal(weight, 0.0), 0.0, moved) if holds_zeros else moved)
