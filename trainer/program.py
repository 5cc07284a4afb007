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

from trainer.accumulation import sum_over_parts
from trainer.averaging import MovingAverage
from trainer.config import Config
from trainer.datasets import Datasets
from trainer.distribution import Distribution
from trainer.errors import UserError
from trainer.input import unpack_rows
from trainer.kept_weights import KeptWeights
from trainer.lookups import Lookup, StepIds, held_instead, merge_ids, read_rows, write_rows
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.optimizers import Optimizer
from trainer.plan import MOST_STEPS_PER_CALL, Plan
from trainer.rows import RowLayout

# A planned run of so many examples, or steps, is compiled: that takes 1 to 2.5 s longer than
# tracing, and saves 0.6 ms of a step of 256 rows, 4 ms of 1024 rows of a model of 128-128 units
# (2 CPU cores, November 2026). Twice what pays, as patience may end a run early.
_COMPILED_EXAMPLES = 4_000_000
_COMPILED_STEPS = 6000
# Room for the dropout layers of one step in the second word of the seed.
_SEEDS_PER_STEP = 64
# Between the seeds of replicas, whose dropout must differ; far from neighbouring run seeds.
_REPLICA_STRIDE = 1_000_003
# Between those of the parts of a batch.
_PART_STRIDE = 15_485_863


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
        self._seed = config.training.seed
        self._num_parts = config.training.accumulate_steps
        self._loss_scale = 1.0 / (batch_size * mean_weight)
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
            # Tables with sparse updates, by the place of the parameter.
            tables = {id(lookup.table.variable): lookup for lookup in model.lookups()}
            self._sparse = {
                i: tables[id(p.variable)] for i, p in enumerate(self.parameters) if p.is_sparse
            }
            # Of those by class it is the step that draws the rows.
            noted = {i: t for i, t in self._sparse.items() if isinstance(t, Lookup)}
            self._notes_rows = distribution.kind == "one_device" and bool(noted)
            self.best = KeptWeights(self.parameters, noted if self._notes_rows else {})
        self.is_compiled = _is_compiled(
            config.training.xla,
            distribution,
            batch_size=batch_size,
            total_steps=total_steps,
            num_parts=self._num_parts,
        )
        is_whole = self.is_compiled and not self._sparse
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
        self._step = self._replica_step
        if self._sparse and self.is_compiled:
            self._compiled_step = tf.function(self._step_on, jit_compile=True, autograph=False)
            self._step = tf.function(self._step_around_tables, autograph=False)
        elif distribution.kind == "one_device" and not self.is_compiled:
            self._step = tf.function(self._replica_step, autograph=False)
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

    def gradients(self, rows_BW: tf.Tensor) -> list[tf.Tensor | tf.IndexedSlices]:
        """Of the loss of rows as a share of a batch, by parameter, on this device alone.

        As in the first step of training, but neither clipped nor penalized, and nothing moves. Not
        under parameter servers.

        Args:
            rows_BW: packed; B is known when this is traced.
        """
        step = tf.constant(0, tf.int64)
        seed, drawn_S = self._replica_seed(step), self._draw(step)
        return self._part_gradients(rows_BW, {}, 0, seed=seed, drawn_S=drawn_S, weights={})[1]

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
            loss = self.strategy.run(self._step, args=(rows, step))
            return i + 1, losses.write(i, tf.add_n(self.distribution.local_results(loss)))

        losses = tf.TensorArray(tf.float32, tf.shape(rows_SPW)[0])
        _, losses = tf.while_loop(lambda i, _: i < num_steps, run_step, (tf.constant(0), losses))
        return losses.stack()

    def _replica_step(self, rows_BW: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Move all weights by the gradient of a replica's rows; its share of the loss."""
        return self._step_on(rows_BW, step, {}, self._draw(step))[0]

    def _draw(self, step: tf.Tensor) -> tf.Tensor | None:
        """The same classes on all replicas: as many rows move as on one device."""
        return self.objective.draw(self._step_seed(step, self._seed))

    def _replica_seed(self, step: tf.Tensor) -> tf.Tensor:
        """(2,) int32, another one for each step and replica."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return self._step_seed(step, self._seed + replica * _REPLICA_STRIDE)

    def _step_seed(self, step: tf.Tensor, word: int | tf.Tensor) -> tf.Tensor:
        return tf.stack([word, tf.cast(step, tf.int32) * _SEEDS_PER_STEP])

    def _step_around_tables(self, rows_BW: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """A step of which XLA sees large tables as the rows that it needs.

        Which ones these are is found outside, as their number is known only when it runs, and so
        they are written, in place.
        """
        drawn_S = self._draw(step)
        parts = [unpack_rows(part, self.layout) for part in tf.split(rows_BW, self._num_parts)]
        chosen = [self.objective.candidates(part.label, drawn_S) for part in parts]
        merged = {}
        for i, lookup in self._sparse.items():
            ids = [lookup.ids(p.ids, c) for p, c in zip(parts, chosen, strict=True)]
            merged[i] = merge_ids(tf.concat(ids, axis=0))
        step_ids = {i: ids for i, (_, ids) in merged.items()}
        loss, moved = self._compiled_step(rows_BW, step, step_ids, drawn_S)
        for i, (different, _) in merged.items():
            write_rows(different, moved[i], self.optimizer.variables_of(i))
        return loss

    def _step_on(
        self,
        rows_BW: tf.Tensor,
        step: tf.Tensor,
        step_ids: dict[int, StepIds],
        drawn_S: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, dict[int, list[tf.Tensor]]]:
        """A step, with only the rows `step_ids` of some tables; also gives these rows, moved."""
        held = {
            i: read_rows(ids.rows, self.optimizer.variables_of(i)) for i, ids in step_ids.items()
        }
        weights = {i: values[0] for i, values in held.items()}
        seed = self._replica_seed(step)
        positions = {i: ids.position for i, ids in step_ids.items()}
        loss, gradients = sum_over_parts(
            functools.partial(self._part_gradients, seed=seed, drawn_S=drawn_S, weights=weights),
            rows_BW,
            positions,
            num_parts=self._num_parts,
        )
        # Each part of each replica gives a gradient of the whole statistic.
        share = 1.0 / (self._num_parts * self.strategy.num_replicas_in_sync)
        gradients = [
            g * share if p.kind == "statistic" else g
            for p, g in zip(self.parameters, gradients, strict=True)
        ]
        moved = self.optimizer.apply(gradients, step, held)
        if self.average is not None:
            self.average.update(step)
        return loss, moved

    def _part_gradients(
        self,
        rows_BW: tf.Tensor,
        positions: dict[int, tf.Tensor],
        number: int,
        *,
        seed: tf.Tensor,
        drawn_S: tf.Tensor | None,
        weights: dict[int, tf.Tensor],
    ) -> tuple[tf.Tensor, list[tf.Tensor | tf.IndexedSlices]]:
        """Of one part of a replica's rows.

        Args:
            rows_BW: packed.
            positions: of the ids in the rows that stand for tables, by the place of the parameter.
            number: of the part.
            seed: (2,) int32 of step and replica.
            drawn_S: classes of a sampled softmax, the same for all parts.
            weights: the rows that stand for tables.
        """
        if number:
            seed += tf.constant([number * _PART_STRIDE, 0])
        batch = unpack_rows(rows_BW, self.layout)
        sources = [weights.get(i, p.variable) for i, p in enumerate(self.parameters)]
        tables = {self._sparse[i].table: (weights[i], x) for i, x in positions.items()}
        with held_instead(tables), tf.GradientTape() as tape:
            tape.watch(list(weights.values()))
            chosen = self.objective.candidates(batch.label, drawn_S)
            options = {} if chosen is None else {"candidates": chosen}
            logits = self.model(batch.ids, batch.numbers, training=True, seed=seed, **options)
            losses_B = self.objective.training_loss(batch.label, logits, chosen)
            loss = tf.reduce_sum(losses_B * batch.weight) * self._loss_scale
        return loss, tape.gradient(loss, sources)

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
