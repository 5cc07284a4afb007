"""Lists of values, as Parquet and TFRecord have them, as the texts that a column of values reads.

Imports cells and Arrow; must not know about files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.cells import Problem, shorten


def is_list(found: Any) -> bool:
    """Whether an Arrow type is one of lists of plain values."""
    types = pa.types
    is_one = types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
    return bool(is_one and not types.is_nested(found.value_type))


def join_lists(
    lists: pa.Array, texts: pa.Array, delimiter: str, name: str
) -> tuple[pa.Array, list[Problem]]:
    """(B,) texts: the values of each list, joined by `delimiter`; null for a list that is null.

    A value that has the delimiter within is a problem, for it would become two.

    Args:
        lists: (B,) Arrow lists.
        texts: their values (`lists.flatten()`) as strings; null is left out.
        delimiter: what joins them.
        name: of the column, for messages.

    >>> lists = pa.array([["a", "b"], [], None, [None, "c"]])
    >>> join_lists(lists, lists.flatten(), "|", "tags")[0].to_pylist()
    ['a|b', '', None, '|c']
    """
    texts = texts.fill_null("")
    offsets = np.concatenate([[0], np.cumsum(_lengths(lists))]).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), texts), delimiter)
    joined = pc.if_else(lists.is_valid(), joined, pa.scalar(None, pa.string()))
    has_delimiter = pc.match_substring(texts, delimiter).to_numpy(zero_copy_only=False)
    found = np.flatnonzero(has_delimiter)
    rows = list_rows(lists)[found]
    firsts = dict(zip(rows[::-1].tolist(), found[::-1].tolist(), strict=True))
    problems = [
        Problem(
            row,
            f"{name}: the value {shorten(texts[place].as_py())} has the delimiter "
            f"{delimiter!r} within; give the column another one",
        )
        for row, place in sorted(firsts.items())
    ]
    return joined, problems


def list_rows(lists: pa.Array) -> np.ndarray:
    """The row of each value of (B,) Arrow lists."""
    return np.repeat(np.arange(len(lists)), _lengths(lists))


def _lengths(lists: pa.Array) -> np.ndarray:
    lengths: np.ndarray = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    return lengths
