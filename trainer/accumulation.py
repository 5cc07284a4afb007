"""Gradients of a batch that is computed in parts, one after the other.

Imports TensorFlow only; knows nothing of models and optimizers. Axes: B batch, W words of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

# (rows, positions, number of the part) -> its share of the loss and of each gradient
Compute = Callable[
    [tf.Tensor, dict[int, tf.Tensor], int], tuple[tf.Tensor, list[tf.Tensor | tf.IndexedSlices]]
]


def sum_over_parts(
    compute: Compute, rows_BW: tf.Tensor, positions: Mapping[int, tf.Tensor], *, num_parts: int
) -> tuple[tf.Tensor, list[tf.Tensor | tf.IndexedSlices]]:
    """The loss and the gradients of all rows: the sums over the parts, slices end to end.

    Only one part's activations are held at a time.

    Args:
        compute: the loss and the gradients of a part.
        rows_BW: B is a multiple of num_parts.
        positions: int tensors, with equally many numbers for each part, one part after the other.
        num_parts: 1 computes all rows at once.
    """
    if num_parts == 1:
        return compute(rows_BW, dict(positions), 0)
    rows = tf.split(rows_BW, num_parts)
    cut = {i: tf.split(values, num_parts) for i, values in positions.items()}
    total, sums = compute(rows[0], {i: values[0] for i, values in cut.items()}, 0)
    for number in range(1, num_parts):
        # Side by side the parts would need the memory of the whole.
        done = [g.values if isinstance(g, tf.IndexedSlices) else g for g in sums]
        with tf.control_dependencies(done):
            part = {i: values[number] for i, values in cut.items()}
            loss, gradients = compute(tf.identity(rows[number]), part, number)
            total += loss
            sums = [_add(*pair) for pair in zip(sums, gradients, strict=True)]
    return total, sums


def _add(
    total: tf.Tensor | tf.IndexedSlices, gradient: tf.Tensor | tf.IndexedSlices
) -> tf.Tensor | tf.IndexedSlices:
    if not isinstance(total, tf.IndexedSlices):
        return total + gradient
    return tf.IndexedSlices(
        tf.concat([total.values, gradient.values], axis=0),
        tf.concat([total.indices, gradient.indices], axis=0),
        total.dense_shape,
    )
