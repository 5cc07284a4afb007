"""The compiled parts of a run: many training steps per call, prediction, and kept weights.

Nothing here decides when; `loop.py` does. AutoGraph is off everywhere: converting Python that needs
no conversion took 7 of the first 12 seconds of CPU time, the loop over steps alone a third of a
second (2 cores, November 2026).
"""

from __future__ import annotations

import functools
import itertools
import sys
import zlib
from typing import Literal

import numpy as np
import tensorflow as tf

from trainer.averaging import MovingAverage
from trainer.config import Config
from trainer.datasets import Datasets
from trainer.distribution import Distribution
from trainer.errors import UserError
from trainer.input import unpack_rows
from trainer.kept_weights import KeptWeights
from trainer.lookups import Lookup
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.optimizers import Optimizer
from trainer.plan import MOST_STEPS_PER_CALL, Plan
from trainer.rows import RowLayout
from trainer.training_step import TrainingStep

# A planned run of so many examples, or steps, is compiled: that takes 1 to 2.5 s longer than
# tracing, and saves 0.6 ms of a step of 256 rows, 4 ms of 1024 rows of a model of 128-128 units
# (2 CPU cores, November 2026). Twice what pays, as patience may end a run early.
_COMPILED_EXAMPLES = 4_000_000
_COMPILED_STEPS = 6000


def build_program(
    config: Config, datasets: Datasets, plan: Plan, distribution: Distribution
) -> Program:
    """The objective and the Keras model of a run under its strategy, and their compiled calls.

    Raises:
        UserError: the label cannot be learned, the model does not fit into memory, or
            training.xla on several devices.
    """
    objective = Objective(config, datasets.statistics)
    try:
        with distribution.strategy.scope():
            network = WideAndDeep(
                datasets.encoder.layout,
                config.model.for_task(config.label.task),
                # TPUs have no updates by rows: as if all tables were small against the batch.
                batch_size=sys.maxsize if distribution.kind == "tpu" else plan.batch_size,
                num_outputs=objective.num_outputs,
                offset=objective.offset,
                seed=config.training.seed,
                precision=config.training.precision,
            )
        return Program(
            distribution,
            network,
            objective,
            config,
            layout=datasets.layout,
            batch_size=plan.batch_size,
            total_steps=plan.total_steps,
            mean_weight=datasets.statistics.mean_weight,
            longest_call=plan.call_length(0),
        )
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "the model does not fit into memory; lower model.hidden_units, the bins of crosses, "
            "hash_buckets or embedding_dim"
        ) from error


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
        longest_call: int = MOST_STEPS_PER_CALL,
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
            longest_call: the most steps of a call.

        Raises:
            UserError: training.xla on several devices.
        """
        self.distribution, self.strategy = distribution, distribution.strategy
        self.model, self.objective, self.layout = model, objective, layout
        num_parts = config.training.accumulate_steps
        with self.strategy.scope():
            self.parameters = model.parameters()
            optimizer = objective.with_learning_rate(config.optimizer)
            self.optimizer = Optimizer(optimizer, self.parameters, total_steps)
            decay = config.optimizer.ema_decay if distribution.has_average else 0.0
            self.average = (
                MovingAverage(self.parameters, decay, self.optimizer.holds_zeros())
                if decay
                else None
            )
            self.step = TrainingStep(
                model,
                objective,
                self.optimizer,
                self.parameters,
                self.average,
                layout=layout,
                seed=config.training.seed,
                num_parts=num_parts,
                num_replicas=self.strategy.num_replicas_in_sync,
                loss_scale=1.0 / (batch_size * mean_weight),
            )
            # Of tables by class it is the step that draws the rows.
            noted = {i: t for i, t in self.step.sparse.items() if isinstance(t, Lookup)}
            self._notes_rows = distribution.kind == "one_device" and bool(noted)
            self.best = KeptWeights(self.parameters, noted if self._notes_rows else {})
        self.is_compiled = _is_compiled(
            config.training.xla,
            distribution,
            batch_size=batch_size,
            total_steps=total_steps,
            num_parts=num_parts,
        )
        is_whole = self.is_compiled and not self.step.sparse
        # A trace for each number of steps would cost a second, and on TPU a compilation. So it is
        # left open; XLA, which wants to see the shape of the rows, gets room for the longest call.
        self._room = longest_call if is_whole else None
        share = batch_size // distribution.num_peers
        self.run_steps = tf.function(
            self._run_steps,
            input_signature=[
                tf.TensorSpec((self._room, share, layout.width), tf.int32),
                tf.TensorSpec((), tf.int64),
                tf.TensorSpec((), tf.int32),
            ],
            jit_compile=is_whole,
            autograph=False,
        )
        # A fifth to a third faster compiled, for 0.3 s a shape (2 CPU cores, November 2026).
        self.predict = tf.function(self._predict, jit_compile=is_whole, autograph=False)
        self._run_step = self.step.run
        if self.step.sparse and self.is_compiled:
            self._run_step = tf.function(self.step.run_around_tables, autograph=False)
        elif distribution.kind == "one_device" and not self.is_compiled:
            self._run_step = tf.function(self.step.run, autograph=False)
        self.checkpoint = tf.train.Checkpoint(
            weights=[p.variable for p in self.parameters],
            optimizer=self.optimizer,
            average=self.average or tf.Module(),
            best=self.best,
            # The model that they come from may have changed, or be gone, when a run goes on.
            **({"frozen": model.frozen} if model.frozen else {}),
        )

    @property
    def num_weights(self) -> int:
        """Numbers that are learned."""
        learned = [p.variable for p in self.parameters if p.kind != "statistic"]
        return sum(int(variable.shape.num_elements()) for variable in learned)

    def checksums(self) -> list[int]:
        """A checksum below 2**24 of the weights of each local replica: equal for equal weights."""
        copies = zip(
            *(self.distribution.local_results(p.variable) for p in self.parameters),
            strict=True,
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
        if self._notes_rows:
            self.best.note(rows_SPW[:, :, : self.layout.num_ids].numpy(), first_step)
        if distribution.coordinator is None:
            losses = self.run_steps(*self._arguments(rows_SPW, first_step)).numpy()[: len(rows_SPW)]
            return distribution.sum_over_peers(losses)
        bounds = np.linspace(0, len(rows_SPW), distribution.num_servers + 1).astype(int)
        parts = [
            distribution.coordinator.schedule(
                self.run_steps, args=self._arguments(rows_SPW[a:b], first_step + a)
            )
            for a, b in itertools.pairwise(bounds)
            if b > a
        ]
        distribution.coordinator.join()
        return np.concatenate([part.fetch() for part in parts])

    def _arguments(self, rows_SPW: tf.Tensor, first_step: int) -> tuple[tf.Tensor, ...]:
        """Of `run_steps`."""
        num_steps = len(rows_SPW)
        if self._room and num_steps < self._room:
            rows_SPW = tf.pad(rows_SPW, [[0, self._room - num_steps], [0, 0], [0, 0]])
        return (
            rows_SPW,
            tf.constant(first_step, tf.int64),
            tf.constant(num_steps, tf.int32),
        )

    def _run_steps(
        self, rows_SPW: tf.Tensor, first_step: tf.Tensor, num_steps: tf.Tensor
    ) -> tf.Tensor:
        """The first steps of S on the replicas of one process; (S,) float32, its share of losses.

        The losses of steps that are not run are 0.
        """

        def run_step(i: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            step = first_step + tf.cast(i, tf.int64)
            rows = self.distribution.per_replica(rows_SPW[i])
            loss = self.strategy.run(self._run_step, args=(rows, step))
            return i + 1, losses.write(i, tf.add_n(self.distribution.local_results(loss)))

        losses = tf.TensorArray(tf.float32, tf.shape(rows_SPW)[0])
        _, losses = tf.while_loop(lambda i, _: i < num_steps, run_step, (tf.constant(0), losses))
        return losses.stack()

    def _predict(self, rows_PW: tf.Tensor) -> tf.Tensor:
        """(P, O) float32 logits of packed rows, on the replicas of this process."""
        if self.distribution.num_local_replicas == 1 and self.distribution.kind != "tpu":
            return self._replica_predict(rows_PW)
        rows = self.distribution.per_replica(rows_PW)
        logits = self.strategy.run(self._replica_predict, args=(rows,))
        return tf.concat(self.distribution.local_results(logits), axis=0)

    def _replica_predict(self, rows_PW: tf.Tensor) -> tf.Tensor:
        batch = unpack_rows(rows_PW, self.layout)
        return self.model(batch.ids, batch.numbers)


def _is_compiled(
    wish: Literal["auto"] | bool,
    distribution: Distribution,
    *,
    batch_size: int,
    total_steps: int | None,
    num_parts: int,
) -> bool:
    """Whether XLA compiles the training loop; a function of the plan alone, so resuming agrees.

    Raises:
        UserError: it is wished for on several devices.
    """
    is_one_device = distribution.kind == "one_device"
    if wish != "auto":
        if wish and not is_one_device:
            raise UserError(
                f"training.xla works on one device; this run uses {distribution.kind}. Leave it out"
            )
        return wish
    # XLA does not keep the order of the parts of a batch: 8 parts of 32,768 rows, 6 layers of 512
    # units, took 3.4 GB where the whole took 1.8 (uncompiled 1.1; November 2026).
    if not is_one_device or num_parts > 1 or tf.config.list_logical_devices("GPU"):
        return False
    if total_steps is None:
        return True
    return total_steps >= _COMPILED_STEPS or total_steps * batch_size >= _COMPILED_EXAMPLES
