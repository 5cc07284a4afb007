"""What a cell of a declared column may hold: conversion of text to numbers, and the rules of a row.

Imports numpy and Arrow only; must not know about files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]
DType = Literal["float", "int", "string", "dictionary", "vector"]

ARROW_TYPES: dict[str, Any] = {
    "float": pa.float32(),
    "int": pa.int64(),
    "string": pa.string(),
    "dictionary": pa.string(),
    "vector": pa.string(),  # as a cell of text; see vectors.py
}
# What Arrow's CSV reader takes for a number, once spaces and tabs around it are gone.
_FLOAT = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan(\(\w*\))?|inf|infinity)", re.I | re.ASCII
)
# Without leading zeros: int64 has no more digits, and Python refuses to read thousands.
_INT = re.compile(r"([+-]?)0*(\d{1,19})|0x0*([0-9a-f]{1,16})", re.I | re.ASCII)
# Whole numbers up to here are exact as floating-point text such as 3.0.
_LARGEST_EXACT = 2.0**53
_SHOWN_CHARACTERS = 60
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_COMMA_ADVICE = "Decimal commas are read with data.decimal_point: ','"
_MISSING_ADVICE = "A text that stands for a missing value belongs in data.null_values"


class ReadColumn(NamedTuple):
    """A column to read and what its cells must satisfy; a row that does not is a bad row.

    float gives float32, int int64, string string arrays, dictionary either string arrays or, where
    the file has such, dictionary<int32, string> ones, vector FixedSizeList<float32> ones of `size`
    numbers, each with nulls where a value is missing.
    """

    name: str
    dtype: DType
    required: bool = False  # whether a missing value (for float also NaN) makes a bad row
    minimum: float | None = None  # inclusive; numbers only
    maximum: float | None = None  # inclusive; numbers only
    allowed: tuple[str, ...] | None = None  # texts, or numbers as text; missing values pass
    role: str = "column"  # how messages call it: column, label, weight
    size: int = 0  # numbers of a vector
    delimiter: str | None = None  # joins the values of a list to a text; None: lists are refused
    advice: str = ""  # what to do where cells are none of this column's; "": nothing beyond reason


class Problem(NamedTuple):
    """Why a row is bad; `row` counts from 0, in whatever the function says.

    advice: what to do, where the config is at fault rather than the row.
    """

    row: int
    reason: str
    advice: str = ""


def convert_text(
    text: pa.Array,
    column: ReadColumn,
    null_values: tuple[str, ...],
    decimal_point: str | None = None,
) -> tuple[pa.Array, list[Problem]]:
    """Cells of text as an array of the column's type, null where missing or not convertible.

    Spaces and tabs around numbers do not count; a whole number may be written 3.0.

    Args:
        text: (B,) string array, null meaning missing.
        column: says the type and the name.
        null_values: texts that mean missing.
        decimal_point: what stands before the decimals of a number of a CSV; None: no CSV, whose
            options could be what is wrong.
    """
    nulls = pa.array(null_values, pa.string())
    text = _nullify(text, pc.is_in(text, value_set=nulls))
    if column.dtype in ("string", "dictionary"):
        return text, []
    trimmed = pc.utf8_trim(text, characters=" \t")
    trimmed = _nullify(trimmed, pc.is_in(trimmed, value_set=nulls))
    try:
        if decimal_point != ",":
            return trimmed.cast(ARROW_TYPES[column.dtype]), []
    except pa.ArrowInvalid:
        pass
    return _convert_each(trimmed, column, decimal_point)


def decode_utf8(cells: pa.Array, column: ReadColumn) -> tuple[pa.Array, list[Problem]]:
    """Binary cells as strings, null where they are not UTF-8."""
    try:
        return cells.cast(pa.string()), []
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        problems = []
        for row, cell in enumerate(cells.to_pylist()):
            try:
                texts.append(None if cell is None else cell.decode())
            except UnicodeDecodeError:
                texts.append(None)
                problems.append(Problem(row, f"{_name(column)}: {shorten(cell)} is not UTF-8"))
        return pa.array(texts, pa.string()), problems


def check_rules(values: pa.Array, column: ReadColumn) -> list[Problem]:
    """Rows that break the column's rules; an infinite number always does.

    Args:
        values: (B,) array of the column's type.
        column: the rules.
    """
    problems = []
    for is_bad, reason, *advice in _violations(values, column):
        if is_bad.any():
            bad_rows = np.flatnonzero(is_bad).tolist()
            problems += [Problem(row, reason(row), *advice) for row in bad_rows]
    return problems


def shorten(cell: str | bytes) -> str:
    """A cell in quotes for a message, cut where it is long."""
    return repr(cell if len(cell) <= _SHOWN_CHARACTERS else cell[:_SHOWN_CHARACTERS]) + (
        "..." if len(cell) > _SHOWN_CHARACTERS else ""
    )


def _name(column: ReadColumn) -> str:
    return f"{column.role} {column.name}"


def _nullify(values: pa.Array, is_null: pa.Array) -> pa.Array:
    if not pc.any(is_null).as_py():
        return values
    return pc.if_else(is_null, pa.scalar(None, values.type), values)


def _convert_each(
    text: pa.Array, column: ReadColumn, decimal_point: str | None
) -> tuple[pa.Array, list[Problem]]:
    """The slow way, for a block in which a cell is no plain number."""
    parse = _parse_int if column.dtype == "int" else _parse_float
    kind = "a whole number" if column.dtype == "int" else "a number"
    cells = text.to_pylist()
    # Each exchanged for the other, so that a point is none where a comma is.
    swapped = str.maketrans(".,", ",.") if decimal_point == "," else {}
    numbers = [None if cell is None else parse(cell.translate(swapped)) for cell in cells]
    problems = [
        Problem(
            row,
            f"{_name(column)}: {shorten(cell)} is not {kind}",
            column.advice if decimal_point is None else _advice(cell, column),
        )
        for row, (cell, number) in enumerate(zip(cells, numbers, strict=True))
        if cell is not None and number is None
    ]
    if column.dtype == "int":
        return pa.array(numbers, pa.int64()), problems
    # Arrow converts the text, so that a value is the same number on both roads.
    return pa.array(numbers, pa.string()).cast(pa.float32()), problems


def _advice(cell: str, column: ReadColumn) -> str:
    """What to do about a text of a CSV that is no number."""
    return _COMMA_ADVICE if _DECIMAL_COMMA.fullmatch(cell) else column.advice or _MISSING_ADVICE


def _parse_int(text: str) -> int | None:
    number: float | None = None
    if match := _INT.fullmatch(text):
        # Sixteen hexadecimal digits are the bits of an int64, as Arrow reads them.
        number = int(match[1] + match[2]) if match[2] else _signed(int(match[3], 16))
    elif _FLOAT.fullmatch(text) and abs(float(text)) <= _LARGEST_EXACT:
        number = float(text)
    if number is None or number != int(number) or not -(2**63) <= number < 2**63:
        return None
    return int(number)


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _parse_float(text: str) -> str | None:
    return text.lstrip("+") if _FLOAT.fullmatch(text) else None


# Which rows break a rule, why, and where the config may be at fault, what to do.
Violation = tuple[Bools, Callable[[int], str]] | tuple[Bools, Callable[[int], str], str]


def _violations(values: pa.Array, column: ReadColumn) -> Iterator[Violation]:
    if column.dtype in ("float", "int"):
        yield from _number_violations(values, column)
        return
    name = _name(column)
    if column.dtype == "vector":
        numbers = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.size)
        is_infinite = _to_bools(values.is_valid())
        is_infinite[is_infinite] = np.isinf(numbers).any(axis=1)
        yield is_infinite, lambda row: f"{name}: {values[row].as_py()} is not finite"
    if column.required and values.null_count:
        yield _is_null(values), lambda row: f"{name} is missing"
    if column.allowed is not None:
        is_allowed = pc.fill_null(_is_in(values, column.allowed), True)
        listed = _listed(column.allowed)
        yield (
            ~_to_bools(is_allowed),
            lambda row: f"{name}: {shorten(values[row].as_py())} is not one of {listed}",
            column.advice,
        )


def _number_violations(values: pa.Array, column: ReadColumn) -> Iterator[Violation]:
    name = _name(column)
    if column.dtype == "float":
        numbers = values.to_numpy(zero_copy_only=False)  # null becomes NaN
        is_finite = np.isfinite(numbers)
        # NaN compares as false, so only `allowed` has to look at what is missing.
        is_missing = np.isnan(numbers) if not is_finite.all() else np.zeros_like(is_finite)
        is_infinite = ~(is_finite | is_missing)
        yield is_infinite, lambda row: f"{name}: {numbers[row]} is not a finite number"
    else:
        numbers = pc.fill_null(values, 0).to_numpy()
        is_missing = _is_null(values)

    def shown(row: int) -> str:
        return f"{numbers[row]}" if column.dtype == "int" else f"{numbers[row]:.9g}"

    if column.required:
        yield is_missing, lambda row: f"{name} is missing"
    if column.minimum is not None:
        is_low = (numbers < column.minimum) & ~is_missing
        yield is_low, lambda row: f"{name}: {shown(row)} is below {column.minimum:.9g}"
    if column.maximum is not None:
        is_high = (numbers > column.maximum) & ~is_missing
        yield is_high, lambda row: f"{name}: {shown(row)} is above {column.maximum:.9g}"
    if column.allowed is not None:
        listed = _listed(column.allowed)
        is_other = ~np.isin(numbers, [float(text) for text in column.allowed]) & ~is_missing
        yield is_other, lambda row: f"{name}: {shown(row)} is not one of {listed}", column.advice


def _is_in(values: pa.Array, allowed: tuple[str, ...]) -> pa.Array:
    value_set = pa.array(allowed, pa.string())
    if not pa.types.is_dictionary(values.type):
        return pc.if_else(values.is_null(), None, pc.is_in(values, value_set=value_set))
    return pc.is_in(values.dictionary, value_set=value_set).take(values.indices)


def _is_null(values: pa.Array) -> Bools:
    return _to_bools(values.is_null())


def _to_bools(values: pa.Array) -> Bools:
    bools: Bools = values.to_numpy(zero_copy_only=False).astype(bool)
    return bools


def _listed(allowed: tuple[str, ...]) -> str:
    rest = ", ..." if len(allowed) > 10 else ""
    return ", ".join(map(repr, allowed[:10])) + rest
