"""Which id features are looked up in which table, and the rows of large tables that a step needs.

Imports features and tables; knows nothing of towers, optimizers and strategies. Axes: B batch, F
features, G features of one table, N looked-up ids, U different ones, W width of a table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.encoders import IdFeature
from trainer.tables import Table, use_dense_update

# Features of more ids have a table of their own, so that the others' can be small and stay dense.
LARGE_FEATURE_IDS = 32_768


@dataclass(frozen=True)
class Lookup:
    """Features whose rows stand in one table, one id space behind the other.

    columns: of the features, among all ids of a row.
    offsets: (G,) int32, where the id space of each begins.
    """

    table: Table
    columns: tuple[int, ...]
    offsets: np.ndarray

    def __call__(self, ids_BF: tf.Tensor) -> tf.Tensor:
        """(B, G, W) float32 rows."""
        return self.table(self.ids(ids_BF))

    def ids(self, ids_BF: tf.Tensor) -> tf.Tensor:
        """(B, G) int32 row numbers in the table."""
        return select_columns(ids_BF, self.columns) + self.offsets


def make_lookups(
    features: Sequence[tuple[int, IdFeature]],
    width: int,
    batch_size: int,
    make_table: Callable[..., Table],
    name: str,
) -> list[Lookup]:
    """One table for the features of few ids, one for those of many.

    Args:
        features: with their columns.
        width: of the tables.
        batch_size: rows of a step over all replicas.
        make_table: of rows, width and further arguments of `Table`.
        name: of the first table; the other's is `<name>_large`.
    """
    lookups = []
    for is_large in (False, True):
        members = [(i, f) for i, f in features if (f.size > LARGE_FEATURE_IDS) == is_large]
        if not members:
            continue
        id_spaces = [f.size for _, f in members]
        ends = np.cumsum(id_spaces)
        table = make_table(
            int(ends[-1]),
            width,
            name=f"{name}_large" if is_large else name,
            dense_update=use_dense_update(int(ends[-1]), batch_size * len(members)),
            id_spaces=id_spaces,
        )
        offsets = np.concatenate([[0], ends[:-1]]).astype(np.int32)
        lookups.append(Lookup(table, tuple(i for i, _ in members), offsets))
    return lookups


class StepIds(NamedTuple):
    """The different rows of a large table that one step looks up, as a small table of N rows.

    N is the number of ids looked up, which XLA can see; U of the rows are used.

    rows: (N,) int32 row numbers in the large table; 0 from U on.
    position: (N,) int32 row of the small table for each looked-up id.
    """

    rows: tf.Tensor
    position: tf.Tensor


def merge_ids(ids: tf.Tensor) -> tuple[tf.Tensor, StepIds]:
    """The different ones of int32 ids of any static shape.

    Returns:
        (U,) int32 in the order of their first occurrence, and the same for use in XLA.
    """
    num_ids = ids.shape.num_elements()
    different, position = tf.unique(tf.reshape(ids, [-1]))
    padded = tf.pad(different, [[0, num_ids - tf.size(different)]])
    return different, StepIds(tf.ensure_shape(padded, (num_ids,)), position)


def read_rows(rows: tf.Tensor, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
    """(N, W) rows of a table's weights and slots.

    Inside XLA, which has several cache misses under way at a time, where TensorFlow's kernel waits
    for each. The raw op reads in place: reading a variable as a whole would copy it.
    """
    return [
        tf.raw_ops.ResourceGather(resource=v.handle, indices=rows, dtype=v.dtype) for v in variables
    ]


def write_rows(
    ids: tf.Tensor, values: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
) -> None:
    """Write new values of the (U,) rows, the first of (N, W), to weights and slots, in place."""
    for v, rows in zip(variables, values, strict=True):
        used = rows[: tf.size(ids)]
        tf.raw_ops.ResourceScatterUpdate(resource=v.handle, indices=ids, updates=used)


@contextlib.contextmanager
def held_instead(held: Mapping[Table, tuple[tf.Tensor, tf.Tensor]]) -> Iterator[None]:
    """A block in which look-ups in tables take held rows, whatever the ids.

    Args:
        held: (N, W) weights, and the (N,) int32 row of them for each id that is looked up.
    """
    for table, weights_and_position in held.items():
        table.held = weights_and_position
    try:
        yield
    finally:
        for table in held:
            table.held = None


def select_columns(values_BF: tf.Tensor, columns: Sequence[int]) -> tf.Tensor:
    """The given columns; the tensor itself where that is all of them."""
    if list(columns) == list(range(values_BF.shape[1])):
        return values_BF
    return tf.gather(values_BF, columns, axis=1)
