"""Parquet files, and tables in memory, as blocks of typed columns.

Imports cells, value_lists, vectors, csv_files, memory_tables, parallel, storage, errors and Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainer import storage
from trainer.cells import ARROW_TYPES, Problem, ReadColumn, convert_text, decode_utf8, shorten
from trainer.csv_files import Rows, check_rows
from trainer.csv_head import check_names
from trainer.errors import UserError
from trainer.memory_tables import BATCH_ROWS, MemoryTable
from trainer.parallel import map_in_order
from trainer.value_lists import is_list, join_lists, list_rows
from trainer.vectors import list_vectors, text_vectors

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class ParquetFile:
    """An open Parquet file, its columns checked."""

    has_header = False

    def __init__(self, path: str, columns: tuple[ReadColumn, ...]) -> None:
        """Open `path` and check its columns.

        Raises:
            UserError: it is not a Parquet file, or has not these columns, or not once.
        """
        self._path = path
        self._columns = columns
        self._stream = storage.open_read(path)
        with _readable(path):
            found = pq.ParquetFile(self._stream)
            schema = found.schema_arrow
            # Written as dictionaries, and read as such they are not looked through again: 0.45
            # instead of 0.87 us a row of 26 columns, and 26 times to find the distinct values.
            texts = [
                c.name
                for c in columns
                if c.dtype == "dictionary"
                and schema.names.count(c.name) == 1
                and schema.field(c.name).type == pa.string()
            ]
            self._file = pq.ParquetFile(
                self._stream, metadata=found.metadata, read_dictionary=texts
            )
            self.names = tuple(schema.names)
            self.has_rows = self._file.metadata.num_rows > 0
        _check_schema(path, schema, columns)

    def read(self) -> Iterator[Rows]:
        """Stretches of up to BATCH_ROWS rows within a row group, in order."""
        with self._stream, self._file:
            yield from map_in_order(self._convert, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        names = [column.name for column in self._columns]
        num_rows = 0
        for group in range(self._file.num_row_groups):
            # Group by group: across groups, batches differ between Arrow versions.
            batches = self._file.iter_batches(BATCH_ROWS, row_groups=[group], columns=names)
            while True:
                with _readable(self._path):
                    batch = next(batches, None)
                if batch is None:
                    break
                num_rows += batch.num_rows
                yield batch
        stated = self._file.metadata.num_rows
        if num_rows != stated:
            raise UserError(f"{self._path} is damaged: it states {stated} rows and has {num_rows}")

    def _convert(self, batch: pa.RecordBatch) -> Rows:
        return _convert_batch(batch, self._columns)


class TableFile:
    """A table in memory, read as a Parquet file of its rows is: the same cells and blocks."""

    has_header = False

    def __init__(self, source: MemoryTable, columns: tuple[ReadColumn, ...]) -> None:
        """Check the columns.

        Raises:
            UserError: the table has not these columns, or not once, or not of such a type.
        """
        self._source = source
        self._columns = columns
        self.names = tuple(source.table.schema.names)
        self.has_rows = source.table.num_rows > 0
        index = ", ".join(source.index_names)
        hint = f". The index ({index}) is no column; reset_index() makes it one" if index else ""
        _check_schema(source.name, source.table.schema, columns, hint)

    def read(self) -> Iterator[Rows]:
        """Stretches of BATCH_ROWS rows, in order."""
        return map_in_order(
            lambda batch: _convert_batch(batch, self._columns), self._source.batches()
        )


def _convert_batch(batch: pa.RecordBatch, columns: tuple[ReadColumn, ...]) -> Rows:
    arrays, problems = {}, []
    for column in columns:
        arrays[column.name], unreadable = cast_column(batch.column(column.name), column)
        problems += unreadable
    return check_rows(arrays, columns, batch.num_rows, problems)


def _check_schema(
    path: str, schema: pa.Schema, columns: tuple[ReadColumn, ...], hint: str = ""
) -> None:
    names = tuple(schema.names)
    check_names(path, names, columns, hint)
    for column in columns:
        if names.count(column.name) > 1:
            raise UserError(f"{path} has column {column.name!r} more than once")
        _check_type(path, schema.field(column.name).type, column)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """A block in which what Arrow says of a damaged file is a UserError."""
    try:
        yield
    # Names that are not UTF-8 and sizes that no memory has come as Python's own exceptions.
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise UserError(f"{path} is not a readable Parquet file: {error}") from error


def cast_column(values: pa.Array, column: ReadColumn) -> tuple[pa.Array, list[Problem]]:
    """Values of any plain type as the column's type, null where missing or not convertible.

    "" is missing. As text, a number is as short as it can be (3.0 is "3"), a timestamp
    "YYYY-MM-DD HH:MM:SS" in UTC, a date "YYYY-MM-DD", a truth value "true" or "false".
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        if column.dtype == "dictionary" and _has_plain_texts(values):
            return _drop_empty(values), []
        values = values.cast(values.type.value_type)
    if pa.types.is_decimal(values.type) and values.type.bit_width < 128:
        # Arrow can do little with the short ones.
        values = values.cast(pa.decimal128(values.type.precision, values.type.scale))
    problems: list[Problem] = []
    if column.dtype == "vector" and pa.types.is_null(values.type):
        values = values.cast(pa.list_(pa.float32()))  # a frame without a row, or all missing
    if column.delimiter is not None and is_list(values.type):
        return _list_texts(values, column, column.delimiter)
    if pa.types.is_nested(values.type):
        return list_vectors(values, column)
    if _is_bytes(values.type):
        values, problems = decode_utf8(values.cast(pa.binary()), column)
    if _is_text(values.type):
        convert = text_vectors if column.dtype == "vector" else convert_text
        converted, unreadable = convert(values.cast(pa.string()), column, ("",))
        return converted, problems + unreadable
    if column.dtype in ("string", "dictionary"):
        return convert_text(_to_text(values), column, ())
    if column.dtype == "float":
        return values.cast(pa.float64(), safe=False).cast(pa.float32(), safe=False), []
    return _to_int(values, column)


def _list_texts(
    lists: pa.Array, column: ReadColumn, delimiter: str
) -> tuple[pa.Array, list[Problem]]:
    """Lists of values of any plain type, joined."""
    texts, unreadable = cast_column(lists.flatten(), column._replace(dtype="string"))
    joined, problems = join_lists(lists, texts, delimiter, column.name)
    rows = list_rows(lists)
    problems += [problem._replace(row=int(rows[problem.row])) for problem in unreadable]
    converted, _ = convert_text(joined, column, ("",))
    return converted, problems


def _has_plain_texts(values: pa.DictionaryArray) -> bool:
    tokens = values.dictionary
    return bool(tokens.type == pa.string() and not tokens.null_count)


def _drop_empty(values: pa.DictionaryArray) -> pa.DictionaryArray:
    """A column of texts with null instead of ""; its dictionary may have more than is used."""
    positions = values.indices.cast(pa.int32())
    is_empty = pc.equal(values.dictionary, "")
    if pc.any(is_empty).as_py():
        positions = pc.if_else(is_empty.take(positions), pa.scalar(None, pa.int32()), positions)
    return pa.DictionaryArray.from_arrays(positions, values.dictionary)


def _check_type(path: str, found: Any, column: ReadColumn) -> None:
    types = pa.types
    is_time = types.is_temporal(found)
    if column.dtype == "vector":
        if not (_is_list_of_numbers(found) or _is_text(found) or types.is_null(found)):
            raise UserError(
                f"{path}: column {column.name!r} has type {found}, expected lists of "
                f"{column.size} numbers"
            )
        return
    if column.delimiter is not None and is_list(found):
        return
    if types.is_nested(found) or (is_time and column.dtype in ("float", "int")):
        hint = "; declare it as a datetime with a text format" if is_time else ""
        if types.is_duration(found):
            hint = "; give its seconds as a number"
        raise UserError(
            f"{path}: column {column.name!r} has type {found}, "
            f"which cannot be read as {column.dtype}{hint}"
        )


def _is_list_of_numbers(found: Any) -> bool:
    types = pa.types
    is_list = types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
    if not is_list:
        return False
    of = found.value_type
    return bool(types.is_floating(of) or types.is_integer(of) or types.is_null(of))


def _is_bytes(found: Any) -> bool:
    types = pa.types
    return bool(
        types.is_binary(found) or types.is_large_binary(found) or types.is_fixed_size_binary(found)
    )


def _is_text(found: Any) -> bool:
    # Arrow before 16 has no string views, nor a predicate for them.
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found)) or (
        str(found) == "string_view"
    )


def _to_text(values: pa.Array) -> pa.Array:
    types = pa.types
    if types.is_timestamp(values.type):
        # In UTC, cut off to seconds, towards the past also before 1970.
        counts = pc.fill_null(values.cast(pa.int64()), 0).to_numpy()
        seconds = counts // _PER_SECOND[values.type.unit]
        is_null = values.is_null().to_numpy(zero_copy_only=False)
        return pa.array(seconds, pa.timestamp("s"), mask=is_null).cast(pa.string())
    if types.is_floating(values.type) or types.is_decimal(values.type):
        # Few values are distinct where a number serves as a category.
        encoded = values.dictionary_encode()
        is_decimal = types.is_decimal(values.type)
        distinct = encoded.dictionary.to_pylist() if is_decimal else encoded.dictionary.to_numpy()
        texts = [_shortest(value) for value in distinct]
        return pa.array(texts, pa.string()).take(encoded.indices)
    return values.cast(pa.string())


def _shortest(value: Any) -> str | None:
    """The shortest text of a number; None for NaN, which is missing.

    >>> _shortest(3.0), _shortest(0.1), _shortest(np.float32(0.1)), _shortest(Decimal("2.50"))
    ('3', '0.1', '0.1', '2.5')
    """
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if value != value:
        return None
    number = float(value)
    is_whole = number.is_integer() and abs(number) < 10**15
    return str(int(number)) if is_whole else str(value)


def _to_int(values: pa.Array, column: ReadColumn) -> tuple[pa.Array, list[Problem]]:
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        try:
            return values.cast(pa.int64()), []
        except pa.ArrowInvalid:  # uint64 above 2^63
            return convert_text(values.cast(pa.string()), column, ())
    if pa.types.is_decimal(values.type):  # a double would round its last digits
        return convert_text(_to_text(values), column, ())
    numbers = values.cast(pa.float64(), safe=False)
    # Beyond the bounds of int64 a cast would give any number; -2^63 itself is a double.
    is_within = pc.and_(pc.greater_equal(numbers, -(2.0**63)), pc.less(numbers, 2.0**63))
    is_whole = pc.fill_null(pc.and_(pc.equal(numbers, pc.trunc(numbers)), is_within), True)
    is_nan = pc.fill_null(pc.is_nan(numbers), False)
    problems = [
        Problem(
            int(row), f"{column.role} {column.name}: {shorten(str(value))} is not a whole number"
        )
        for row in np.flatnonzero(~pc.or_(is_whole, is_nan).to_numpy(zero_copy_only=False))
        for value in [numbers[int(row)].as_py()]
    ]
    whole = pc.if_else(pc.and_(is_whole, pc.invert(is_nan)), numbers, pa.scalar(None, pa.float64()))
    return whole.cast(ARROW_TYPES["int"], safe=False), problems
