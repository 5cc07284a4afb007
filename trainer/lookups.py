"""Which id features are looked up in which table, and the rows of large tables that a step needs.

Imports the plans of tables and tables; knows nothing of towers, optimizers and strategies. Axes: B
batch, F columns of ids, C those of one table, G its features, S slots of a feature, N looked-up
ids, U different ones, W width of a table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from trainer.candidates import Candidates
from trainer.columns import Combiner
from trainer.table_plans import TablePlan
from trainer.tables import Table, use_dense_update


@dataclass(frozen=True)
class Lookup:
    """Features whose rows stand in one table, one id space behind the other.

    columns: of the ids of the features, among all ids of a row.
    offsets: (C,) int32, where the id space of each column begins.
    bags: which of the columns are the slots of one feature, and how they become one row; () where
        every feature has one id.
    """

    table: Table
    columns: tuple[int, ...]
    offsets: np.ndarray
    bags: tuple[Bag, ...] = ()

    def __call__(self, ids_BF: tf.Tensor) -> tf.Tensor:
        """(B, G, W) float32 rows."""
        return self.pooled(self.table(self.ids(ids_BF)), ids_BF)

    def pooled(self, rows_BCW: tf.Tensor, ids_BF: tf.Tensor) -> tf.Tensor:
        """(B, G, W): the rows of the columns as one for each feature."""
        return _pool(rows_BCW, self.bags, self._own(ids_BF)) if self.bags else rows_BCW

    def ids(self, ids_BF: tf.Tensor, candidates: Candidates | None = None) -> tf.Tensor:
        """(B, C) int32 row numbers in the table, whatever the candidates."""
        del candidates
        return self._own(ids_BF) + self.offsets

    def factors(self, ids_BF: tf.Tensor) -> tf.Tensor:
        """(B, C) float32, by which the rows of the columns count in those of the features."""
        ids_BC = self._own(ids_BF)
        if not self.bags:
            return tf.ones_like(ids_BC, tf.float32)
        parts = [_factors(ids_BC[:, columns], combiner) for columns, combiner in self.bags]
        return tf.concat(parts, axis=1)

    def _own(self, ids_BF: tf.Tensor) -> tf.Tensor:
        return select_columns(ids_BF, self.columns)


class StepLookup(Protocol):
    """A table, and the rows of it that a step looks up."""

    table: Table

    def ids(self, ids_BF: tf.Tensor, candidates: Any) -> tf.Tensor:
        """Int32 row numbers, of a static shape, in the order in which they are looked up.

        Args:
            ids_BF: of the rows of the batch, or of a part of it.
            candidates: `Candidates` where the softmax is sampled, else None.
        """
        ...


class Bag(NamedTuple):
    """One feature among the columns of a look-up."""

    columns: slice
    combiner: Combiner


def _pool(rows_BCW: tf.Tensor, bags: Sequence[Bag], ids_BC: tf.Tensor) -> tf.Tensor:
    """(B, G, W): the rows of each feature, added up or averaged."""
    pooled = []
    for columns, combiner in bags:
        rows_BSW = rows_BCW[:, columns]
        if rows_BSW.shape[1] > 1:
            factors_BS1 = _factors(ids_BC[:, columns], combiner)[:, :, tf.newaxis]
            rows_BSW = tf.reduce_sum(rows_BSW * factors_BS1, axis=1, keepdims=True)
        pooled.append(rows_BSW)
    return tf.concat(pooled, axis=1)


def _factors(ids_BS: tf.Tensor, combiner: Combiner) -> tf.Tensor:
    """(B, S) float32, what each slot of a feature counts.

    Slots of id 0 do not count, but the first one does where all are 0: the learned "missing".
    """
    used_BS = tf.cast(tf.not_equal(ids_BS, 0), tf.float32)
    count_B1 = tf.maximum(tf.reduce_sum(used_BS, axis=1, keepdims=True), 1.0)
    used_BS = tf.concat([tf.ones_like(count_B1), used_BS[:, 1:]], axis=1)
    if combiner == "mean":
        used_BS /= count_B1
    elif combiner == "sqrtn":
        used_BS /= tf.sqrt(count_B1)
    return used_BS


def make_lookups(
    plans: Sequence[TablePlan],
    batch_size: int,
    make_table: Callable[..., Table],
    initial: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> list[Lookup]:
    """The tables of a part.

    Args:
        plans: of the tables.
        batch_size: rows of a step over all replicas.
        make_table: of rows, width and further arguments of `Table`.
        initial: (V, W) rows that features begin with, by their names; the others as made.
    """
    lookups = []
    for plan in plans:
        table = make_table(
            plan.num_rows,
            plan.width,
            name=plan.name,
            dense_update=use_dense_update(plan.num_rows, batch_size * len(plan.columns)),
            id_spaces=plan.id_spaces,
            trainable=plan.is_trained,
        )
        sections = {f.name: s for (_, f), s in zip(plan.features, plan.sections, strict=True)}
        if known := sections.keys() & initial.keys():
            values = table.variable.numpy()
            for name in known:
                values[sections[name].start : sections[name].stop] = initial[name]
            table.variable.assign(values)
        slots = [f.slots for _, f in plan.features]
        offsets = np.repeat([section.start for section in plan.sections], slots)
        bags = []
        if any(count > 1 for count in slots):
            ends = np.cumsum(slots).tolist()
            bags = [
                Bag(slice(end - f.slots, end), f.combiner)
                for end, (_, f) in zip(ends, plan.features, strict=True)
            ]
        lookups.append(Lookup(table, plan.columns, offsets.astype(np.int32), tuple(bags)))
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
