"""One step of training on one replica: the loss of its rows, and the weights moved by its gradient.

`program.py` makes calls of many of them.

Axes: B rows of a replica, W words of a row, S drawn classes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import tensorflow as tf

from trainer.accumulation import sum_over_parts
from trainer.averaging import MovingAverage
from trainer.input import unpack_rows
from trainer.lookups import StepIds, held_instead, merge_ids, read_rows, write_rows
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.optimizers import Optimizer, Parameter
from trainer.rows import RowLayout

# Room for the dropout layers of one step in the second word of the seed.
_SEEDS_PER_STEP = 64
# Between the seeds of replicas, whose dropout must differ; far from neighbouring run seeds.
_REPLICA_STRIDE = 1_000_003
# Between those of the parts of a batch.
_PART_STRIDE = 15_485_863


class TrainingStep:
    """The step of a model, its objective and its optimizer, to be run in a replica's context.

    Attributes:
        sparse: tables that are updated by rows, by the place of their parameter.
    """

    def __init__(
        self,
        model: WideAndDeep,
        objective: Objective,
        optimizer: Optimizer,
        parameters: Sequence[Parameter],
        average: MovingAverage | None,
        *,
        layout: RowLayout,
        seed: int,
        num_parts: int,
        num_replicas: int,
        loss_scale: float,
    ):
        """Take the parts; nothing is traced yet.

        Args:
            model: the network.
            objective: the loss.
            optimizer: of the parameters.
            parameters: of the model.
            average: of the weights; None for none.
            layout: of the packed rows.
            seed: of the run.
            num_parts: into which the rows of a replica are cut.
            num_replicas: of the strategy.
            loss_scale: what the sum of the weighted losses is multiplied with.
        """
        self._model, self._objective, self._optimizer = model, objective, optimizer
        self._average, self._layout = average, layout
        self._seed, self._num_parts, self._num_replicas = seed, num_parts, num_replicas
        self._loss_scale = loss_scale
        self._parameters = parameters
        tables = {id(lookup.table.variable): lookup for lookup in model.lookups()}
        self.sparse = {
            i: tables[id(p.variable)] for i, p in enumerate(self._parameters) if p.is_sparse
        }
        self._compiled = tf.function(self._step_on, jit_compile=True, autograph=False)

    def run(self, rows_BW: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Move all weights by the gradient of a replica's rows; its share of the loss."""
        return self._step_on(rows_BW, step, {}, self._draw(step))[0]

    def run_around_tables(self, rows_BW: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """A step of which XLA sees large tables as the rows that it needs.

        Which ones these are is found outside, as their number is known only when it runs, and so
        they are written, in place.
        """
        drawn_S = self._draw(step)
        parts = [unpack_rows(part, self._layout) for part in tf.split(rows_BW, self._num_parts)]
        chosen = [self._objective.candidates(part.label, drawn_S) for part in parts]
        merged = {}
        for i, lookup in self.sparse.items():
            ids = [lookup.ids(p.ids, c) for p, c in zip(parts, chosen, strict=True)]
            merged[i] = merge_ids(tf.concat(ids, axis=0))
        step_ids = {i: ids for i, (_, ids) in merged.items()}
        loss, moved = self._compiled(rows_BW, step, step_ids, drawn_S)
        for i, (different, _) in merged.items():
            write_rows(different, moved[i], self._optimizer.variables_of(i))
        return loss

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

    def _draw(self, step: tf.Tensor) -> tf.Tensor | None:
        """The same classes on all replicas: as many rows move as on one device."""
        return self._objective.draw(self._step_seed(step, self._seed))

    def _replica_seed(self, step: tf.Tensor) -> tf.Tensor:
        """(2,) int32, another one for each step and replica."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return self._step_seed(step, self._seed + replica * _REPLICA_STRIDE)

    def _step_seed(self, step: tf.Tensor, word: int | tf.Tensor) -> tf.Tensor:
        return tf.stack([word, tf.cast(step, tf.int32) * _SEEDS_PER_STEP])

    def _step_on(
        self,
        rows_BW: tf.Tensor,
        step: tf.Tensor,
        step_ids: dict[int, StepIds],
        drawn_S: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, dict[int, list[tf.Tensor]]]:
        """A step, with only the rows `step_ids` of some tables; also gives these rows, moved."""
        held = {
            i: read_rows(ids.rows, self._optimizer.variables_of(i)) for i, ids in step_ids.items()
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
        share = 1.0 / (self._num_parts * self._num_replicas)
        gradients = [
            g * share if p.kind == "statistic" else g
            for p, g in zip(self._parameters, gradients, strict=True)
        ]
        moved = self._optimizer.apply(gradients, step, held)
        if self._average is not None:
            self._average.update(step)
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
        batch = unpack_rows(rows_BW, self._layout)
        sources = [weights.get(i, p.variable) for i, p in enumerate(self._parameters)]
        tables = {self.sparse[i].table: (weights[i], x) for i, x in positions.items()}
        with held_instead(tables), tf.GradientTape() as tape:
            tape.watch(list(weights.values()))
            chosen = self._objective.candidates(batch.label, drawn_S)
            options = {} if chosen is None else {"candidates": chosen}
            logits = self._model(batch.ids, batch.numbers, training=True, seed=seed, **options)
            losses_B = self._objective.training_loss(batch.label, logits, chosen)
            loss = tf.reduce_sum(losses_B * batch.weight) * self._loss_scale
        return loss, tape.gradient(loss, sources)
