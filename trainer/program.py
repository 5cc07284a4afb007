"""The compiled parts of a run: many training steps per call, prediction, and kept weights.

Nothing here decides when; `loop.py` does. AutoGraph is off everywhere but in the loop over steps:
converting Python that needs no conversion took 7 of the first 12 seconds of CPU time (2 cores,
November 2026).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.averaging import MovingAverage
from trainer.config import Config
from trainer.input import unpack_rows
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.optimizers import Optimizer, Parameter
from trainer.rows import RowLayout

# Room for the dropout layers of one step in the second word of the seed.
_SEEDS_PER_STEP = 64


class Program:
    """A model, its objective and its optimizer as calls over packed rows."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: WideAndDeep,
        objective: Objective,
        config: Config,
        *,
        layout: RowLayout,
        batch_size: int,
        total_steps: int | None,
        mean_weight: float,
    ):
        """Create slots and averages; the calls are traced when first used.

        Args:
            strategy: where the steps run.
            model: built under the strategy's scope.
            objective: the loss.
            config: optimizer, seed, XLA.
            layout: of the packed rows.
            batch_size: rows of a step over all replicas.
            total_steps: of the run, for schedules; None where seconds end it.
            mean_weight: of the training rows: weights count relative to it.
        """
        self.strategy, self.model, self.objective, self.layout = strategy, model, objective, layout
        self._seed = config.training.seed
        self._loss_scale = 1.0 / (batch_size * mean_weight)
        with strategy.scope():
            self.parameters = model.parameters()
            self.optimizer = Optimizer(config.optimizer, self.parameters, total_steps)
            decay = config.optimizer.ema_decay
            self.average = MovingAverage(self.parameters, decay) if decay else None
            self.best = WeightCopy(self.parameters)
        self._step = tf.function(
            self._replica_step, jit_compile=config.training.xla, autograph=False
        )
        self.checkpoint = tf.train.Checkpoint(
            weights=[p.variable for p in self.parameters],
            optimizer=self.optimizer,
            average=self.average or tf.Module(),
            best=self.best,
        )

    @property
    def num_weights(self) -> int:
        """Numbers that are learned."""
        return sum(int(p.variable.shape.num_elements()) for p in self.parameters)

    # Calls have several lengths, and a trace costs a second: one more serves all of them.
    @tf.function(reduce_retracing=True)
    def train(self, rows_SBW: tf.Tensor, first_step: tf.Tensor) -> tf.Tensor:
        """S steps; (S,) float32 losses over all replicas.

        Args:
            rows_SBW: packed rows of each step, int32.
            first_step: int64 steps done before.
        """
        num_steps = tf.shape(rows_SBW)[0]
        losses = tf.TensorArray(tf.float32, num_steps)
        for i in tf.range(num_steps):
            step = first_step + tf.cast(i, tf.int64)
            loss = self.strategy.run(self._step, args=(rows_SBW[i], step))
            losses = losses.write(i, self.strategy.reduce("SUM", loss, axis=None))
        return losses.stack()

    def _replica_step(self, rows_BW: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        batch = unpack_rows(rows_BW, self.layout)
        variables = [p.variable for p in self.parameters]
        seed = tf.stack([self._seed, tf.cast(step, tf.int32) * _SEEDS_PER_STEP])
        with tf.GradientTape() as tape:
            logits = self.model(batch.ids, batch.numbers, training=True, seed=seed)
            losses_B = self.objective.loss(batch.label, logits)
            loss = tf.reduce_sum(losses_B * batch.weight) * self._loss_scale
        self.optimizer.apply(tape.gradient(loss, variables), step)
        if self.average is not None:
            self.average.update(step)
        return loss

    @tf.function(autograph=False)
    def predict(self, rows_BW: tf.Tensor) -> tf.Tensor:
        """(B, O) float32 logits of packed rows."""
        batch = unpack_rows(rows_BW, self.layout)
        return self.model(batch.ids, batch.numbers)


class WeightCopy(tf.Module):
    """A second set of weights: those of the best evaluation."""

    def __init__(self, parameters: Sequence[Parameter]):
        """Start from the present values."""
        super().__init__()
        self._weights = [p.variable for p in parameters]
        self.copies = [tf.Variable(w, trainable=False) for w in self._weights]

    @tf.function(autograph=False)
    def capture(self) -> None:
        """Copy the model's weights."""
        for weight, copy in zip(self._weights, self.copies, strict=True):
            copy.assign(weight)

    @tf.function(autograph=False)
    def restore(self) -> None:
        """Give the model the copied weights."""
        for weight, copy in zip(self._weights, self.copies, strict=True):
            weight.assign(copy)
