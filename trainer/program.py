"""The compiled parts of a run: many training steps per call, prediction, and kept weights.

Nothing here decides when; `loop.py` does. AutoGraph is off everywhere but in the loop over steps:
converting Python that needs no conversion took 7 of the first 12 seconds of CPU time (2 cores,
November 2026).
"""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.averaging import MovingAverage
from trainer.config import Config
from trainer.distribution import Distribution
from trainer.errors import UserError
from trainer.input import unpack_rows
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.optimizers import Optimizer, Parameter
from trainer.rows import RowLayout

# Room for the dropout layers of one step in the second word of the seed.
_SEEDS_PER_STEP = 64
# Between the seeds of replicas, whose dropout must differ; far from neighbouring run seeds.
_REPLICA_STRIDE = 1_000_003


class Program:
    """A model, its objective and its optimizer as calls over packed rows."""

    def __init__(
        self,
        distribution: Distribution,
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
            distribution: where the steps run.
            model: built under the strategy's scope.
            objective: the loss.
            config: optimizer, seed, XLA.
            layout: of the packed rows.
            batch_size: rows of a step over all replicas.
            total_steps: of the run, for schedules; None where seconds end it.
            mean_weight: of the training rows: weights count relative to it.

        Raises:
            UserError: training.xla on several devices.
        """
        self.distribution, self.strategy = distribution, distribution.strategy
        self.model, self.objective, self.layout = model, objective, layout
        self._seed = config.training.seed
        self._loss_scale = 1.0 / (batch_size * mean_weight)
        with self.strategy.scope():
            self.parameters = model.parameters()
            self.optimizer = Optimizer(config.optimizer, self.parameters, total_steps)
            decay = config.optimizer.ema_decay if distribution.has_average else 0.0
            self.average = MovingAverage(self.parameters, decay) if decay else None
            self.best = WeightCopy(self.parameters)
        # The number of steps of a call is left open: a trace for each would cost a second, and on
        # TPU a compilation.
        rows = tf.TensorSpec((None, batch_size // distribution.num_peers, layout.width), tf.int32)
        self.run_steps = tf.function(
            self._run_steps, input_signature=[rows, tf.TensorSpec((), tf.int64)]
        )
        self._step = self._replica_step
        if distribution.kind == "one_device":
            self._step = tf.function(
                self._replica_step, jit_compile=config.training.xla, autograph=False
            )
        elif config.training.xla:
            raise UserError(
                f"training.xla works on one device; this run uses {distribution.kind}. Leave it out"
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

    def checksums(self) -> list[int]:
        """A checksum below 2**24 of the weights of each local replica: equal for equal weights."""
        copies = zip(
            *(self.distribution.local_results(p.variable) for p in self.parameters), strict=True
        )
        return [
            functools.reduce(lambda crc, w: zlib.crc32(w.numpy().tobytes(), crc), weights, 0) >> 8
            for weights in copies
        ]

    def train(self, rows_SPW: tf.Tensor, first_step: int) -> np.ndarray:
        """S steps; (S,) float32 losses over all replicas.

        Args:
            rows_SPW: packed int32 rows of each step: this process's P of the batch.
            first_step: steps done before.
        """
        distribution = self.distribution
        if distribution.coordinator is None:
            losses = self.run_steps(rows_SPW, tf.constant(first_step, tf.int64))
            return distribution.sum_over_peers(losses.numpy())
        bounds = np.linspace(0, len(rows_SPW), distribution.num_servers + 1).astype(int)
        parts = [
            distribution.coordinator.schedule(
                self.run_steps, args=(rows_SPW[a:b], tf.constant(first_step + a, tf.int64))
            )
            for a, b in itertools.pairwise(bounds)
            if b > a
        ]
        distribution.coordinator.join()
        return np.concatenate([part.fetch() for part in parts])

    def _run_steps(self, rows_SPW: tf.Tensor, first_step: tf.Tensor) -> tf.Tensor:
        """S steps on the replicas of one process; (S,) float32 losses, its share of them."""
        num_steps = tf.shape(rows_SPW)[0]
        losses = tf.TensorArray(tf.float32, num_steps)
        for i in tf.range(num_steps):
            step = first_step + tf.cast(i, tf.int64)
            rows = self.distribution.per_replica(rows_SPW[i])
            loss = self.strategy.run(self._step, args=(rows, step))
            losses = losses.write(i, tf.add_n(self.distribution.local_results(loss)))
        return losses.stack()

    def _replica_step(self, rows_BW: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        batch = unpack_rows(rows_BW, self.layout)
        variables = [p.variable for p in self.parameters]
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.stack(
            [self._seed + replica * _REPLICA_STRIDE, tf.cast(step, tf.int32) * _SEEDS_PER_STEP]
        )
        with tf.GradientTape() as tape:
            logits = self.model(batch.ids, batch.numbers, training=True, seed=seed)
            losses_B = self.objective.loss(batch.label, logits)
            loss = tf.reduce_sum(losses_B * batch.weight) * self._loss_scale
        self.optimizer.apply(tape.gradient(loss, variables), step)
        if self.average is not None:
            self.average.update(step)
        return loss

    @tf.function(autograph=False)
    def predict(self, rows_PW: tf.Tensor) -> tf.Tensor:
        """(P, O) float32 logits of packed rows, on the replicas of this process."""
        if self.distribution.num_local_replicas == 1 and self.distribution.kind != "tpu":
            return self._replica_predict(rows_PW)
        rows = self.distribution.per_replica(rows_PW)
        logits = self.strategy.run(self._replica_predict, args=(rows,))
        return tf.concat(self.distribution.local_results(logits), axis=0)

    def _replica_predict(self, rows_PW: tf.Tensor) -> tf.Tensor:
        batch = unpack_rows(rows_PW, self.layout)
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
