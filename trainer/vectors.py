"""Columns of fixed-length lists of numbers: from text and from lists to Arrow's FixedSizeList.

Imports cells, numpy and Arrow. Axes: B batch, n numbers of a vector.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trainer.cells import Bools, Problem, ReadColumn, shorten

# What may stand around the numbers of a text, and between them.
_AROUND = "[]() \t"
_BETWEEN = r"[;,|\s]+"

Floats = npt.NDArray[np.float32]


def text_vectors(
    text: pa.Array, column: ReadColumn, null_values: tuple[str, ...]
) -> tuple[pa.Array, list[Problem]]:
    """Vectors of texts such as `[0.1, 0.2]`, `0.1;0.2`, `0.1|0.2` and `0.1 0.2`.

    Args:
        text: (B,) string array, null meaning missing.
        column: says the name and n.
        null_values: texts that mean missing.

    Returns:
        (B,) FixedSizeList<float32>[n], null where missing or wrong, and what is wrong.
    """
    is_null = pc.or_(text.is_null(), pc.is_in(text, value_set=pa.array(null_values, pa.string())))
    text = pc.if_else(is_null, pa.scalar(None, pa.string()), text)
    trimmed = pc.utf8_trim(text, characters=_AROUND)
    parts = pc.split_pattern_regex(pc.if_else(pc.equal(trimmed, ""), None, trimmed), _BETWEEN)
    lengths = pc.fill_null(pc.list_value_length(parts), 0).to_numpy(zero_copy_only=False)
    try:
        values = pc.list_flatten(parts).cast(pa.float32())
        problems: list[Problem] = []
    except pa.ArrowInvalid:
        values, lengths, problems = _numbers_of_each(parts, text, column)
    is_missing = _bools(is_null)
    is_missing[[problem.row for problem in problems]] = True
    vectors, unfit = fixed_vectors(values, lengths, is_missing, column)
    return vectors, problems + unfit


def list_vectors(lists: pa.Array, column: ReadColumn) -> tuple[pa.Array, list[Problem]]:
    """Vectors of (B,) lists of numbers of any type; as `text_vectors` otherwise.

    A number that is null within a list is NaN, which is missing.
    """
    is_missing = _bools(lists.is_null())
    if pa.types.is_fixed_size_list(lists.type):
        # list_flatten leaves null rows out, whatever the type.
        lengths = np.where(is_missing, 0, lists.type.list_size)
    else:
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    values = pc.list_flatten(lists).cast(pa.float64(), safe=False).cast(pa.float32(), safe=False)
    return fixed_vectors(values, lengths, is_missing, column)


def fixed_vectors(
    values: pa.Array, lengths: npt.NDArray[np.integer], is_missing: Bools, column: ReadColumn
) -> tuple[pa.Array, list[Problem]]:
    """Vectors of consecutive numbers, `lengths` of them in each row.

    Args:
        values: (sum of lengths,) float32.
        lengths: (B,) numbers of each row.
        is_missing: (B,) rows without a vector, whatever their length.
        column: says the name and n.
    """
    is_unfit = (lengths != column.size) & ~is_missing
    problems = [
        Problem(
            int(row), f"{column.role} {column.name}: {lengths[row]} values instead of {column.size}"
        )
        for row in np.flatnonzero(is_unfit)
    ]
    is_used = ~(is_missing | is_unfit)
    numbers_BN = np.full((len(lengths), column.size), np.nan, np.float32)
    flat = pc.fill_null(values, float("nan")).to_numpy(zero_copy_only=False)
    numbers_BN[is_used] = flat[np.repeat(is_used, lengths)].reshape(-1, column.size)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers_BN.ravel()), column.size)
    if not is_used.all():
        vectors = pc.if_else(pa.array(is_used), vectors, pa.scalar(None, vectors.type))
    return vectors, problems


def vector_numbers(vectors: pa.Array) -> Floats:
    """(B, n) float32 of a column of vectors; NaN where one, or a number of it, is missing."""
    size = vectors.type.list_size
    if not vectors.null_count:
        numbers: Floats = vectors.flatten().to_numpy(zero_copy_only=False)
        return numbers.reshape(-1, size)
    numbers = np.full((len(vectors), size), np.nan, np.float32)
    numbers[_bools(vectors.is_valid())] = (
        vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    )
    return numbers


def _numbers_of_each(
    parts: pa.Array, text: pa.Array, column: ReadColumn
) -> tuple[pa.Array, npt.NDArray[np.integer], list[Problem]]:
    """The slow way, for a block in which a part of a text is no number."""
    numbers: list[float] = []
    lengths, problems = [], []
    for row, found in enumerate(parts.to_pylist()):
        try:
            values = [_number(part) for part in found or ()]
        except ValueError:
            shown = shorten(text[row].as_py())
            reason = f"{column.role} {column.name}: {shown} is not a list of numbers"
            problems.append(Problem(row, reason))
            values = []
        numbers += values
        lengths.append(len(values))
    # By way of text, so that a value is the same number on both roads.
    texts = pa.array([repr(number) for number in numbers], pa.string())
    return texts.cast(pa.float32()), np.array(lengths, np.int64), problems


def _number(text: str) -> float:
    if re.search(r"_|[^\x00-\x7f]", text):  # Python takes 1_000 and digits of other scripts
        raise ValueError(text)
    return float(text)


def _bools(values: pa.Array) -> Bools:
    return np.array(values.to_numpy(zero_copy_only=False), bool)
