"""Tables of rows that are looked up by id, and the gradients of such look-ups.

Why not `keras.layers.Embedding`: it reads the whole table each step, and Keras 3's optimizers make
its gradient dense and add up the squares of equal ids one by one (keras issue 19992).

Imports Keras and TensorFlow only. Axes: N looked-up ids, U different ids, R rows, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

# The measured crossing point, see use_dense_update.
_DENSE_ROWS_PER_ID = 8


class Table(keras.layers.Layer):
    """`num_rows` rows of `width` float32, looked up by id.

    Args:
        num_rows: ids are 0 .. num_rows - 1; others are an error on CPU, undefined elsewhere.
        width: numbers per row.
        initializer_sd: standard deviation of the initial values; 0 for zeros.
        name: of the layer; the weight is `<name>/table`.
        dense_update: whether the optimizer treats the gradient as a whole table
            (`use_dense_update`).
        id_spaces: sizes of the id spaces that make up the rows, and how many ids of each a row of
            a batch looks up; empty where that is not known.
        trainable: whether there are gradients.
        seed: of the initial values; None draws one from `keras.utils.set_random_seed`.
    """

    def __init__(
        self,
        num_rows: int,
        width: int,
        *,
        initializer_sd: float,
        name: str,
        dense_update: bool,
        id_spaces: Sequence[tuple[int, int]] = (),
        seed: int | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype="float32")
        self.dense_update, self.id_spaces = dense_update, tuple(id_spaces)
        self.held: tuple[tf.Tensor, tf.Tensor] | None = None  # see lookups.held_instead
        initializer: keras.initializers.Initializer = keras.initializers.Zeros()
        if initializer_sd:
            initializer = keras.initializers.RandomNormal(stddev=initializer_sd, seed=seed)
        self.table = self.add_weight(
            shape=(num_rows, width),
            initializer=initializer,
            name="table",
            autocast=False,
            trainable=trainable,
        )
        self.built = True

    @property
    def variable(self) -> tf.Variable:
        """The (num_rows, width) variable to take gradients for."""
        return self.table.value

    @property
    def whole(self) -> tf.Tensor:
        """All rows, (num_rows, width) float32: to predict, not for a training step."""
        return tf.convert_to_tensor(_own_copy(self.variable))

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """The rows of `ids`.

        Args:
            ids: (...) int32.

        Returns:
            (..., width) float32. Its gradient for `variable` is a `tf.IndexedSlices` with one slice
            per id, equal ids not merged.
        """
        if self.held is not None:
            weights, position = self.held
            return tf.gather(weights, tf.reshape(position, ids.shape))
        # Not keras.ops.take: that reads the whole table, and a table that is being read is copied
        # by the next in-place update (64 MB a step at a million rows of 16).
        return tf.gather(_own_copy(self.variable), ids)


def _own_copy(variable: tf.Variable) -> tf.Variable:
    """This replica's copy of a mirrored variable: the mirrored one is read whole by `tf.gather`.

    Outside a step, and on TPU, where a replica's number is not known before it runs, the variable.
    """
    context = tf.distribute.get_replica_context()
    if context is None or not isinstance(variable, tf.distribute.DistributedValues):
        return variable
    copies = context.strategy.experimental_local_results(variable)
    replica = tf.get_static_value(context.replica_id_in_sync_group)
    return variable if replica is None else copies[replica % len(copies)]


class MergedRows(NamedTuple):
    """A sparse gradient with each id once: ids (U,) int32 or int64, values (U, W) float32."""

    ids: tf.Tensor
    values: tf.Tensor


def merge_rows(gradient: tf.IndexedSlices) -> MergedRows:
    """Add up the slices of equal ids, ids in the order of their first occurrence.

    The cost does not depend on the number of rows of the table. Not for use inside XLA: the number
    of different ids is known only when it runs.
    """
    ids, position = tf.unique(gradient.indices)
    # Summed into N rows, of which U are used: XLA wants a length that it can see.
    sums = merge_dense(position, gradient.values, gradient.values.shape[0])
    return MergedRows(ids, sums[: tf.size(ids)])


# From that many numbers on, compiling is worth it. XLA adds up the rows one after the other, in
# 0.22 ms for 41 k ids of width 8, where TensorFlow's kernel takes 1.75 ms, a sparse matrix product
# 0.68 and ResourceScatterAdd 1.6 (2-core AMD EPYC VM, November 2026); but each compilation delays
# the first step by 0.04 to 0.1 s.
_COMPILED_NUMBERS = 20_000


def merge_dense(ids: tf.Tensor, values: tf.Tensor, num_rows: int | None) -> tf.Tensor:
    """Add up the slices of equal ids into a whole table.

    Args:
        ids: (N,) integer.
        values: (N, W) floating.
        num_rows: R; None for N.

    Returns:
        (R, W) float32, 0 in rows without an id.
    """
    values = tf.convert_to_tensor(values)
    # A number known only when it runs differs from step to step, and each would be compiled.
    is_large = (values.shape.num_elements() or 0) >= _COMPILED_NUMBERS
    return (_compiled_sum if is_large else _sum)(ids, values, num_rows)


def _sum(ids: tf.Tensor, values: tf.Tensor, num_rows: int | None) -> tf.Tensor:
    # Each output row is added up by one thread in the order of the ids: two runs give equal bits.
    num_segments = tf.shape(ids)[0] if num_rows is None else num_rows
    return tf.math.unsorted_segment_sum(tf.cast(values, tf.float32), ids, num_segments)


_compiled_sum = tf.function(_sum, jit_compile=True, autograph=False)


def use_dense_update(num_rows: int, ids_per_batch: int) -> bool:
    """Whether to update a table as a whole rather than by its touched rows: up to 8 rows per id.

    Milliseconds per update of one table with skewed ids, dense / sparse, best of 12 (2-core AMD
    EPYC VM that other work ran on, November 2026); the sparse column grows with the number
    of different ids and cache misses, not with the table:

        rows per id                             2            8           16           32
          2,560 ids, width 1, FTRL      .08 / .13    .12 / .16    .18 / .18    .26 / .19
          2,560 ids, width 8, Adam      .13 / .19    .24 / .26    .47 / .32    .73 / .37
         10,240 ids, width 8, Adam      .36 / .54    .75 / .84   1.35 / 1.04  2.59 / 1.11
         40,960 ids, width 8, Adam     1.38 / 3.38  3.15 / 3.09  6.13 / 3.52 11.53 / 3.97
         81,920 ids, width 1, FTRL      .55 / 2.23  1.20 / 3.30  2.52 / 3.91  5.31 / 4.83

    The crossing lies at 8 rows per id for width 8 and at 16 to 32 for width 1. The lower figure is
    taken because a moving average of a dense table adds a fifth to a half to its cost.

    Args:
        num_rows: rows of the table.
        ids_per_batch: ids looked up per step, over all replicas, each of which applies the rows of
            all. Their number makes no difference, as only dense tables have a moving average.

    >>> use_dense_update(40_000, 4096 * 20), use_dense_update(1_000_000, 1024)
    (True, False)
    """
    return num_rows <= _DENSE_ROWS_PER_ID * ids_per_batch
