"""Sample rows of an exported model: its JSON input names, and a request.

Works on plain Python values; imports neither TensorFlow nor Arrow.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

# A list: of a vector, NaN where a number of it, or all of it, is missing.
Value = float | int | str | list[float] | None
Row = dict[str, Value]

# What stands for a missing value in a row of tensors. The integer is that of `transforms.py`: ids
# and times below their range are missing.
MISSING: dict[str, float | int | str] = {"float32": math.nan, "int64": -(2**63), "string": ""}


class ServingInputs(NamedTuple):
    """The inputs of a model by raw column, in the schema's order, the key column last.

    dtypes: "float32", "int64" or "string". names: input names of the signature. key: the raw column
    that is passed through, None where there is none. sizes: numbers of a row by raw column that is
    a vector.
    """

    dtypes: dict[str, str]
    names: dict[str, str]
    key: str | None
    sizes: dict[str, int] = {}  # noqa: RUF012  # never changed


def signature_names(columns: Iterable[str]) -> dict[str, str]:
    """Input names of the signature by raw column: the column's own name wherever that is possible.

    TensorFlow cannot save inputs with blanks, letters beyond ASCII, a leading underscore, or a word
    of Python as their name, nor two that differ in punctuation or case only. Those get `_` for what
    is not allowed, and a number where two would be equal.
    Source: tried on TensorFlow 2.21, November 2026; `save` fails with a ValueError.

    >>> signature_names(["age", "hours-per-week", "native country", "class", "hours_per_week"])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'age': 'age', 'hours-per-week': 'hours-per-week', 'native country': 'native_country',
     'class': 'class_', 'hours_per_week': 'hours_per_week_2'}
    """
    columns = list(columns)
    # Columns that keep their name come first, so that no renamed one takes it from them.
    legal = {column: _legal_name(column) for column in columns}
    taken: set[str] = set()
    names: dict[str, str] = {}
    for column in sorted(columns, key=lambda column: legal[column] != column):
        name, number = legal[column], 1
        while _as_parameter(name) in taken:
            number += 1
            name = f"{legal[column]}_{number}"
        taken.add(_as_parameter(name))
        names[column] = name
    return {column: names[column] for column in columns}


def plain_row(instance: Mapping[str, object], inputs: ServingInputs) -> Row:
    """The row as plain values of the inputs' types; None where missing, also for a NaN.

    A number for a float input is given by the shortest text of its float32, as 40.7128 and not
    40.712799072265625. A missing string is '', as the model has it.
    """
    return {
        raw: _plain_vector(instance.get(raw), inputs.sizes[raw])
        if raw in inputs.sizes
        else _plain_value(instance.get(raw), dtype)
        for raw, dtype in inputs.dtypes.items()
    }


def is_complete(row: Row) -> bool:
    """Whether a JSON request can carry the row: nothing is missing or infinite."""
    return all(_is_carried(value) for value in row.values())


def filled(row: Row) -> Row:
    """The row with 0 for what a JSON request cannot carry."""
    return {raw: _filled(value) for raw, value in row.items()}


def request_json(rows: Sequence[Row], inputs: ServingInputs) -> str:
    """The body of an online prediction request for complete rows."""
    instances = [{inputs.names[raw]: value for raw, value in row.items()} for row in rows]
    return json.dumps({"instances": instances}, indent=1, allow_nan=False) + "\n"


def _is_carried(value: Value) -> bool:
    if isinstance(value, list):
        return all(map(math.isfinite, value))
    return value is not None and (isinstance(value, str) or math.isfinite(value))


def _filled(value: Value) -> Value:
    if isinstance(value, list):
        return [number if math.isfinite(number) else 0.0 for number in value]
    return value if _is_carried(value) else 0


def _plain_vector(value: object, size: int) -> Value:
    if value is None:
        return [math.nan] * size
    numbers: Iterable[object] = value  # type: ignore[assignment]
    return [math.nan if number is None else _float32_text(number) for number in numbers]


def _plain_value(value: object, dtype: str) -> Value:
    if dtype == "string":
        return "" if value is None else value.decode() if isinstance(value, bytes) else str(value)
    if value is None or value != value or (dtype == "int64" and value == MISSING["int64"]):
        return None
    return int(value) if dtype == "int64" else _float32_text(value)  # type: ignore[call-overload]


def _float32_text(value: object) -> float:
    return float(str(np.float32(value)))  # type: ignore[arg-type]


def _legal_name(column: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", column)
    if not name[:1].isalnum():
        name = "x" + name
    return name + "_" if keyword.iskeyword(name) or name == "self" else name


def _as_parameter(name: str) -> str:
    """What TensorFlow makes of an input name internally; equal ones collide, in any case."""
    parameter = re.sub(r"[^A-Za-z0-9]", "_", name).lower()
    return parameter if parameter[0].isalpha() else "arg_" + parameter
