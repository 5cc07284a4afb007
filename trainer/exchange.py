"""Adding up gradients over the replicas: one all-reduce and at most one all-gather a step.

Imports tables and TensorFlow only; knows nothing of parameters and optimizers.

Between two processes on one machine a message costs each of them 0.35 ms of CPU time, and a million
bytes 1.5 ms more (gRPC ring, 2-core AMD EPYC VM, November 2026). So all dense gradients go as one
message (TensorFlow packs them), all gradients by rows as one, and of those equal ids once.
Axes: R replicas, C rows sent of a table, W its width, L words of a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from trainer.tables import MergedRows, merge_dense

# What finding the different ones of many ids takes for each, in numbers that could be sent: 18 ns.
_NUMBERS_PER_ID = 3


class Rows(NamedTuple):
    """A replica's gradient of a table, to be sent by rows.

    slices: one for each looked-up id; the number is static.
    capacity: C, the most different ids that they can have.
    """

    slices: tf.IndexedSlices
    capacity: int


def most_ids(id_spaces: Sequence[tuple[int, int]], num_ids: int) -> int:
    """The most different ids among `num_ids` of some rows of a batch.

    Args:
        id_spaces: their sizes, and how many ids of each a row has; empty where that is not known.
        num_ids: of all rows.

    >>> most_ids([(7, 1), (24, 1), (1_000_000, 1)], 3 * 100)
    131
    >>> most_ids([(7, 1), (1_000_000, 2)], 3 * 100)
    207
    """
    if not id_spaces:
        return num_ids
    num_rows = num_ids // sum(count for _, count in id_spaces)
    return sum(min(size, num_rows * count) for size, count in id_spaces)


def is_sent_by_rows(num_rows: int, width: int, *, num_ids: int, capacity: int) -> bool:
    """Whether the rows of a gradient are cheaper to send than the gradient of the whole table.

    >>> is_sent_by_rows(15_000, 1, num_ids=57_000, capacity=9_000)
    False
    >>> is_sent_by_rows(400_000, 1, num_ids=57_000, capacity=9_000)
    True
    """
    return num_rows * width > capacity * (width + 1) + num_ids * _NUMBERS_PER_ID


def add_over_replicas(
    context: tf.distribute.ReplicaContext, gradients: Sequence[tf.Tensor | Rows]
) -> list[tf.Tensor | tf.IndexedSlices]:
    """The sums over all replicas, the same numbers on each of them.

    Every replica must call it with gradients of the same shapes.

    Returns:
        In the order of `gradients`: sums, and for `Rows` R * C slices in the order of the replicas.
        Ids may come once a replica; slices that a replica did not need have id 0 and values 0.
    """
    dense = [g for g in gradients if not isinstance(g, Rows)]
    tables = [_merge(g) for g in gradients if isinstance(g, Rows)]
    sums = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, dense) if dense else ())
    slices = iter(_gather(context, tables) if tables else ())
    return [next(slices if isinstance(g, Rows) else sums) for g in gradients]


def _merge(rows: Rows) -> MergedRows:
    """C rows, one for each different id, filled up with id 0 and values 0, which move nothing."""
    # TensorFlow's collectives refuse lengths that vary from step to step within a call.
    ids, position = tf.unique(rows.slices.indices)
    values = merge_dense(position, rows.slices.values, rows.capacity)
    padded = tf.pad(ids, [[0, rows.capacity - tf.size(ids)]])
    return MergedRows(tf.ensure_shape(padded, (rows.capacity,)), values)


def _gather(
    context: tf.distribute.ReplicaContext, tables: Sequence[MergedRows]
) -> list[tf.IndexedSlices]:
    """The rows of all replicas: a message is all ids, bit for bit as float32, then all values."""
    parts = [
        *(tf.bitcast(tf.cast(t.ids, tf.int32), tf.float32) for t in tables),
        *(tf.reshape(t.values, [-1]) for t in tables),
    ]
    sizes = [part.shape[0] for part in parts]
    messages = context.all_gather(tf.concat(parts, axis=0), axis=0)
    messages_RL = tf.reshape(messages, (context.num_replicas_in_sync, sum(sizes)))
    found = tf.split(messages_RL, sizes, axis=1)
    return [
        tf.IndexedSlices(
            tf.reshape(values, (-1, table.values.shape[1])),
            tf.bitcast(tf.reshape(ids, [-1]), tf.int32),
        )
        for table, ids, values in zip(
            tables, found[: len(tables)], found[len(tables) :], strict=True
        )
    ]
