"""The held-out rows by the values of each raw column: categories, and numbers in tenths.

Reads the blocks of a part again, some columns of them: what it keeps is one number for each row and
column.

Axes: R rows, V values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from trainer.blocks import DataPart
from trainer.config import Config
from trainer.input_columns import read_columns

# Rows times columns that are looked at: 256 MB of their places. Of more, the first rows.
MOST_CELLS = 1 << 26
_MOST_NUMBERS = 20
_NUM_BUCKETS = 10
MISSING = "(missing)"
_SHARES = np.arange(1, _NUM_BUCKETS) / _NUM_BUCKETS


class RowGroups(NamedTuple):
    """The groups of a column.

    place_R: (R,) int32, which of the values each row has. values: their V texts.
    """

    column: str
    place_R: np.ndarray
    values: Sequence[str]


class Grouping:
    """How numbers are cut: by the tenths of the first part that is seen, for all parts alike."""

    def __init__(self, config: Config, only: Collection[str] | None = None):
        """Take the columns of one value in a row; the label, the weight and the key are none.

        Args:
            config: for the columns.
            only: of these those with such names; None: all.
        """
        label, schema = config.label, config
        roles = {*label.raw_columns, schema.weight, schema.key}
        several = {
            schema.raw_name(name)
            for name, column in schema.columns.items()
            if column.kind in ("multi_hot", "text", "vector")
        }
        chosen = {*config.evaluation.slice_columns, *config.evaluation.fairness_columns}
        inputs = {raw.name for raw in schema.feature_inputs} - several
        self.names = tuple(
            column.name
            for column in read_columns(config)
            if column.name not in roles and (column.name in inputs or column.name in chosen)
        )
        if schema.key in chosen:
            self.names += (str(schema.key),)
        if only is not None:
            self.names = tuple(name for name in self.names if name in only)
        self._edges: dict[str, np.ndarray] = {}

    def num_rows(self, num_rows: int) -> int:
        """How many of so many rows are looked at."""
        return min(num_rows, MOST_CELLS // max(1, len(self.names)))

    def groups(self, part: DataPart, num_rows: int) -> Iterator[RowGroups]:
        """The groups of each column, of the first `num_rows` rows in file order."""
        pieces: dict[str, list[pa.Array]] = {name: [] for name in self.names}
        left = num_rows
        for block in part.blocks():
            taken = min(left, block.num_rows)
            for name in self.names:
                pieces[name].append(_plain(block.columns[name].slice(0, taken)))
            left -= taken
            if not left:
                break
        for name in self.names:
            column = pa.chunked_array(pieces.pop(name))
            if pa.types.is_string(column.type):
                yield _categories(name, column)
            else:
                yield self._numbers(name, column)

    def _numbers(self, name: str, column: pa.ChunkedArray) -> RowGroups:
        number_R = column.to_numpy().astype(np.float64)
        is_there_R = ~np.isnan(number_R)
        if name not in self._edges:
            known = number_R[is_there_R]
            distinct = np.unique(known)
            if len(distinct) > _MOST_NUMBERS:
                distinct = np.unique(np.quantile(known, _SHARES, method="inverted_cdf"))
                self._edges[name] = np.append(-np.inf, distinct)
            else:
                self._edges[name] = distinct
        edges = self._edges[name]
        place_R = np.searchsorted(edges, number_R, side="right") - 1
        # Below the first of few numbers, in another part than that which gave them.
        place_R = np.where(is_there_R, np.maximum(place_R, 0), len(edges))
        if len(edges) and np.isinf(edges[0]):
            names = [_interval(edges, i) for i in range(len(edges))]
        else:
            names = [_text(edge) for edge in edges]
        return RowGroups(name, place_R.astype(np.int32), [*names, MISSING])


def _plain(column: pa.Array) -> pa.Array:
    """Numbers as doubles, texts as strings of a dictionary's values."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column if pa.types.is_string(column.type) else column.cast(pa.float64())


def _categories(name: str, column: pa.ChunkedArray) -> RowGroups:
    encoded = column.fill_null(MISSING).combine_chunks().dictionary_encode()
    place_R = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    return RowGroups(name, place_R, encoded.dictionary.to_pylist())


def _interval(edges: np.ndarray, place: int) -> str:
    """The numbers from an edge to before the next."""
    if place == 0:
        return f"below {_text(edges[1])}"
    if place + 1 == len(edges):
        return f"{_text(edges[place])} and above"
    return f"{_text(edges[place])} to {_text(edges[place + 1])}"


def _text(number: float) -> str:
    """A whole number with all its digits: seconds of a year differ in the last ones only."""
    return f"{number:.0f}" if float(number).is_integer() else f"{number:.6g}"
