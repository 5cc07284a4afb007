"""Tables as records of tf.Example, a column at a time.

Protocol buffers built row by row in Python took 43 microseconds a row of the taxi table, which is
longer than training on it takes. The bytes of a feature depend on its value alone, so they are made
once for each distinct value, and those of a number by its four bytes behind a constant head.
Imports cells, errors, parquet_files, value_lists, numpy and Arrow.

Source: protobuf.dev, "Encoding"; tensorflow/core/example/feature.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.cells import ReadColumn
from trainer.errors import UserError
from trainer.parquet_files import cast_column
from trainer.value_lists import is_list

Kind = Literal["bytes_list", "float_list", "int64_list"]
# Numbers of the fields of tf.train.Feature.
_FIELDS: dict[Kind, int] = {"bytes_list": 1, "float_list": 2, "int64_list": 3}
# Their bytes are written as they are.
_TEXT_TYPES = (
    *(pa.types.is_string, pa.types.is_large_string),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
)


def example_records(table: pa.Table) -> Iterator[bytes]:
    """A serialized tf.Example for each row, its features in the order of the columns.

    A missing value is a feature that is not there.

    Raises:
        UserError: a tf.Example has no way to hold a value.
    """
    columns = [_features(table[name].combine_chunks(), name) for name in table.column_names]
    for features in zip(*columns, strict=True):
        yield _field(1, b"".join(features))


def _features(column: pa.Array, name: str) -> list[bytes]:
    """(B,) entries of the map from names to features, empty where a value is missing."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_list(column.type):
        return _of_lists(column.cast(pa.list_(column.type.value_type)), name)
    if pa.types.is_nested(column.type):
        raise UserError(f"column {name!r} has type {column.type}, which a tf.Example cannot hold")
    if _kind_of(column.type) == "float_list":
        return _of_floats(column, name)
    distinct = column.dictionary_encode()
    kind, values = _values(distinct.dictionary, name)
    made = np.array([*(_feature(name, kind, [value]) for value in values), b""], object)
    entries: list[bytes] = made[pc.fill_null(distinct.indices, -1).to_numpy()].tolist()
    return entries


def _of_floats(column: pa.Array, name: str) -> list[bytes]:
    _, numbers = _values(column, name)
    head = _feature(name, "float_list", [0.0])[:-4]
    raw = np.asarray(numbers, "<f4").tobytes()
    entries = [head + raw[at : at + 4] for at in range(0, len(raw), 4)]
    for row in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist():
        entries[row] = b""
    return entries


def _of_lists(lists: pa.Array, name: str) -> list[bytes]:
    flat = lists.flatten()
    kind, values = _values(flat, name)
    if kind != "float_list" and flat.null_count:
        raise UserError(f"column {name!r}: a tf.Example has no null within a list")
    entries, start = [], 0
    for length in pc.list_value_length(lists).to_pylist():
        stop = start + (length or 0)
        entries.append(b"" if length is None else _feature(name, kind, values[start:stop]))
        start = stop
    return entries


def _kind_of(found: Any) -> Kind:
    types = pa.types
    if types.is_integer(found) or types.is_boolean(found):
        return "int64_list"
    is_number = types.is_floating(found) or types.is_decimal(found) or types.is_null(found)
    return "float_list" if is_number else "bytes_list"


def _values(column: pa.Array, name: str) -> tuple[Kind, Sequence[Any]]:
    """Values as a tf.Example has them; of numbers, what training reads, NaN where null."""
    kind = _kind_of(column.type)
    if kind == "int64_list":
        return kind, column.cast(pa.int64()).to_pylist()
    if kind == "float_list":
        numbers, _ = cast_column(column, ReadColumn(name, "float"))
        return kind, numbers.to_numpy(zero_copy_only=False)
    is_text = any(is_type(column.type) for is_type in _TEXT_TYPES)
    texts = column if is_text else cast_column(column, ReadColumn(name, "string"))[0]
    return kind, texts.cast(pa.binary()).to_pylist()


def _feature(name: str, kind: Kind, values: Sequence[Any]) -> bytes:
    """An entry of the map: the name, and the list of values."""
    if kind == "bytes_list":
        listed = b"".join(_field(1, value) for value in values)
    else:
        is_whole = kind == "int64_list"
        raw = b"".join(map(_varint, values)) if is_whole else np.asarray(values, "<f4").tobytes()
        listed = _field(1, raw) if raw else b""
    return _field(1, _field(1, name.encode()) + _field(2, _field(_FIELDS[kind], listed)))


def _field(number: int, payload: bytes) -> bytes:
    """A field of bytes: its number and wire type 2, its length, itself."""
    return bytes((number << 3 | 2,)) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as its 64 bits.

    >>> _varint(1), _varint(300).hex(), len(_varint(-1))
    (b'\\x01', 'ac02', 10)
    """
    if 0 <= value < 128:
        return bytes((value,))
    rest, found = value & (1 << 64) - 1, bytearray()
    while rest > 127:
        found.append(rest & 127 | 128)
        rest >>= 7
    found.append(rest)
    return bytes(found)
