"""Weights by class for a sampled softmax: tables of which a step needs its candidates only.

Each layer gives the logits of all K classes, or with candidates (B, 1 + S): of the own class of
each row, then of the drawn ones. Imports candidates, lookups and tables; knows nothing of parts.

Axes: B batch, D inputs, C columns of ids, R rows of a table of ids, K classes, S drawn ones,
N rows of ids that a step looks up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.candidates import Candidates
from trainer.lookups import Lookup, make_lookups
from trainer.table_plans import TablePlan
from trainer.tables import Table, use_dense_update


class ClassBias(keras.layers.Layer):
    """One number for each class. A vector as any bias: not penalized, updated as a whole."""

    def __init__(self, num_classes: int, name: str = "class_bias") -> None:
        super().__init__(name=name)
        self.bias = self.add_weight(shape=(num_classes, 1), initializer="zeros", name="bias")

    def call(self, candidates: Candidates | None = None) -> tf.Tensor:
        """(1, K) or (B, 1 + S) float32."""
        if candidates is None:
            return tf.transpose(self.bias.value)
        return candidates.columns(self.bias.value[:, 0])


class ClassLayer(keras.layers.Layer):
    """A dense layer of which each class has one row of a table, and a bias.

    The rows are not penalized in the deep part, as those of embeddings are not, and those that no
    row of a batch needs do not move.
    """

    def __init__(
        self, num_classes: int, ids_per_step: int, *, name: str, seed: int | None = None
    ) -> None:
        """Take the options.

        Args:
            num_classes: K.
            ids_per_step: rows of a batch and drawn classes, over all replicas.
            name: of the layer.
            seed: of initial weights with the variance of Glorot's; None for zeros.
        """
        super().__init__(name=name)
        self._num_classes, self._seed = num_classes, seed
        self._dense_update = use_dense_update(num_classes, ids_per_step)
        self.bias = ClassBias(num_classes, f"{name}_bias")
        self.table: Table

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create the table."""
        width = input_shape[-1]
        glorot = math.sqrt(2.0 / (width + self._num_classes))
        self.table = Table(
            self._num_classes,
            width,
            initializer_sd=0.0 if self._seed is None else glorot,
            name="classes",
            dense_update=self._dense_update,
            seed=self._seed,
        )

    def ids(self, ids_BF: tf.Tensor, candidates: Candidates) -> tf.Tensor:
        """(B + S,) int32 rows that a step looks up."""
        del ids_BF
        return candidates.classes

    def call(self, x_BD: tf.Tensor, candidates: Candidates | None = None) -> tf.Tensor:
        """(B, K) or (B, 1 + S) float32."""
        bias = self.bias(candidates=candidates)
        if candidates is None:
            return tf.matmul(x_BD, self.table.whole, transpose_b=True) + bias
        rows = self.table(candidates.classes)
        num_rows = candidates.own_B.shape[0]
        own_B1 = tf.reduce_sum(x_BD * rows[:num_rows], axis=1, keepdims=True)
        drawn_BS = tf.matmul(x_BD, rows[num_rows:], transpose_b=True)
        return tf.concat([own_B1, drawn_BS], axis=1) + bias


class ClassLookup:
    """A weight for each pair of id and class: row id * K + class of a table of width 1."""

    def __init__(self, lookup: Lookup, num_classes: int):
        """Take the columns, and the table of R * K rows."""
        self._lookup, self._num_classes = lookup, num_classes
        self.table = lookup.table

    def ids(self, ids_BF: tf.Tensor, candidates: Candidates) -> tf.Tensor:
        """(B * C + N * S,) int32 rows that a step looks up."""
        first_BC = self._lookup.ids(ids_BF) * self._num_classes
        own_BC = first_BC + candidates.own_B[:, tf.newaxis]
        first_N1 = tf.reshape(first_BC, (-1, 1))
        if self._takes_all_rows(first_BC):
            num_rows = self.table.table.shape[0]
            first_N1 = tf.range(0, num_rows, self._num_classes)[:, tf.newaxis]
        drawn_NS = first_N1 + candidates.drawn_S
        return tf.concat([tf.reshape(own_BC, [-1]), tf.reshape(drawn_NS, [-1])], axis=0)

    def __call__(self, ids_BF: tf.Tensor, candidates: Candidates | None = None) -> tf.Tensor:
        """(B, K) or (B, 1 + S) float32: the sum over the features."""
        if candidates is None:
            return self._of_all_classes(ids_BF)
        rows_BC = self._lookup.ids(ids_BF)
        num_own, num_drawn = rows_BC.shape.num_elements(), candidates.drawn_S.shape[0]
        weights = self.table(self.ids(ids_BF, candidates))[:, 0]
        own_BC1 = tf.reshape(weights[:num_own], (*rows_BC.shape, 1))
        drawn_NS = tf.reshape(weights[num_own:], (-1, num_drawn))
        if self._takes_all_rows(rows_BC):
            drawn_BCS = tf.gather(drawn_NS, rows_BC)
        else:
            drawn_BCS = tf.reshape(drawn_NS, (*rows_BC.shape, num_drawn))
        return tf.reduce_sum(
            self._lookup.pooled(tf.concat([own_BC1, drawn_BCS], axis=2), ids_BF), axis=1
        )

    def _takes_all_rows(self, ids_BC: tf.Tensor) -> bool:
        """Whether the drawn classes of all ids are fewer than those of the ids of a batch."""
        return self.table.table.shape[0] <= ids_BC.shape.num_elements() * self._num_classes

    def _of_all_classes(self, ids_BF: tf.Tensor) -> tf.Tensor:
        """Column by column: (B, C, K) would not fit into memory."""
        weights_RK = tf.reshape(self.table.whole, (-1, self._num_classes))
        rows_CB = tf.transpose(self._lookup.ids(ids_BF))
        factors_CB = tf.transpose(self._lookup.factors(ids_BF))

        def add_column(c: tf.Tensor, logits_BK: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weights_BK = tf.gather(weights_RK, rows_CB[c])
            return c + 1, logits_BK + factors_CB[c][:, tf.newaxis] * weights_BK

        start = tf.zeros((tf.shape(ids_BF)[0], self._num_classes))
        _, logits_BK = tf.while_loop(
            lambda c, _: c < rows_CB.shape[0], add_column, (0, start), parallel_iterations=1
        )
        return logits_BK


def make_class_lookups(
    plans: Sequence[TablePlan], batch_size: int, num_sampled: int
) -> list[ClassLookup]:
    """Tables of zeros for the pairs of ids and classes.

    Args:
        plans: of tables as wide as there are classes.
        batch_size: rows of a step over all replicas.
        num_sampled: S.
    """

    def make_table(
        num_rows: int, width: int, *, name: str, id_spaces: Sequence[tuple[int, int]], **_: Any
    ) -> Table:
        num_ids = batch_size * sum(count for _, count in id_spaces)
        ids_per_step = num_ids + min(num_ids, num_rows) * num_sampled
        dense_update = use_dense_update(num_rows * width, ids_per_step)
        return Table(num_rows * width, 1, initializer_sd=0.0, name=name, dense_update=dense_update)

    lookups = make_lookups(plans, batch_size, make_table)
    return [ClassLookup(lookup, plan.width) for lookup, plan in zip(lookups, plans, strict=True)]
