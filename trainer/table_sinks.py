"""Arrow tables written as files: CSV, Parquet, TFRecord of tf.Example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import tensorflow as tf

from trainer.cells import ReadColumn
from trainer.errors import UserError
from trainer.parquet_files import cast_column
from trainer.value_lists import is_list, join_lists

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".tfrecord", ".tfrecord.gz")
# Between the values of a list of texts in CSV.
DELIMITER = "|"


class Sink(Protocol):
    """A file that takes tables of one schema."""

    def write(self, table: pa.Table) -> None:
        """Add rows.

        Raises:
            UserError: the format has no way to write a value.
        """
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_sink(path: str, schema: pa.Schema) -> Sink:
    """A new local file in the format that its name ends in.

    Raises:
        UserError: the format has no way to write a type.
    """
    if path.endswith(".parquet"):
        return _ParquetSink(path, schema)
    return _TFRecordSink(path) if ".tfrecord" in path else _CsvSink(path)


class _ParquetSink:
    def __init__(self, path: str, schema: pa.Schema):
        self._writer = pq.ParquetWriter(path, schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


class _CsvSink:
    def __init__(self, path: str):
        stream = pa.OSFile(path, "wb")
        self._stream = pa.CompressedOutputStream(stream, "gzip") if path[-3:] == ".gz" else stream
        self._has_header = False

    def write(self, table: pa.Table) -> None:
        columns = {field.name: _flat_text(_one(table[field.name]), field) for field in table.schema}
        options = pyarrow.csv.WriteOptions(include_header=not self._has_header)
        pyarrow.csv.write_csv(pa.table(columns), self._stream, options)
        self._has_header = True

    def close(self) -> None:
        self._stream.close()


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _flat_text(column: pa.Array, field: pa.Field) -> pa.Array:
    """A column as CSV has it: a list of numbers is [1, 2], one of texts a|b."""
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    if not pa.types.is_nested(column.type):
        return column
    lists, texts = _lists(column, field.name)
    if not pa.types.is_string(lists.type.value_type):
        joined, _ = join_lists(lists, pc.fill_null(texts, "nan"), ", ", field.name)
        return pc.binary_join_element_wise("[", joined, "]", "")
    joined, problems = join_lists(lists, texts, DELIMITER, field.name)
    if problems:
        raise UserError(f"column {problems[0].reason.split('; ')[0]}; write Parquet or TFRecord")
    return joined


def _lists(column: pa.Array, name: str) -> tuple[pa.Array, pa.Array]:
    """Lists, and their values as texts, null ones not left out."""
    if not is_list(column.type):
        raise UserError(f"column {name!r} has type {column.type}, which no format but Parquet has")
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    texts = column.flatten().cast(pa.string())
    return column, texts


class _TFRecordSink:
    def __init__(self, path: str):
        kind = "GZIP" if path.endswith(".gz") else ""
        self._writer = tf.io.TFRecordWriter(path, kind)

    def write(self, table: pa.Table) -> None:
        columns = [(name, *_features(_one(table[name]), name)) for name in table.column_names]
        for row in range(table.num_rows):
            example = tf.train.Example()
            features = example.features.feature
            for name, kind, values in columns:
                if values[row] is not None:
                    getattr(features[name], kind).value.extend(values[row])
            self._writer.write(example.SerializeToString())

    def close(self) -> None:
        self._writer.close()


def _features(column: pa.Array, name: str) -> tuple[str, list[list[Any] | None]]:
    """The list of a tf.Example for a column, and the values of each row; None where missing."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_list(column.type):
        lists = column.cast(pa.list_(column.type.value_type))
        kind, values = _plain_values(lists.flatten(), name)
        flat = [None if value is None else value[0] for value in values]
        return kind, list(_regrouped(flat, lists, kind, name))
    return _plain_values(column, name)


def _regrouped(
    flat: list[Any], lists: pa.Array, kind: str, name: str
) -> Iterator[list[Any] | None]:
    start = 0
    for length in pc.list_value_length(lists).to_pylist():
        if length is None:
            yield None
            continue
        values = flat[start : start + length]
        start += length
        if kind == "float_list":
            values = [float("nan") if value is None else value for value in values]
        elif None in values:
            raise UserError(f"column {name!r}: a tf.Example has no null within a list")
        yield values


def _plain_values(column: pa.Array, name: str) -> tuple[str, list[list[Any] | None]]:
    types, found = pa.types, column.type
    if types.is_integer(found) or types.is_boolean(found):
        kind, values = "int64_list", column.cast(pa.int64()).to_pylist()
    elif types.is_floating(found) or types.is_decimal(found) or types.is_null(found):
        # What training reads, so nothing is lost for it.
        numbers, _ = cast_column(column, ReadColumn(name, "float"))
        kind, values = "float_list", numbers.to_pylist()
    elif types.is_nested(found):
        raise UserError(f"column {name!r} has type {found}, which a tf.Example cannot hold")
    else:
        is_text = types.is_string(found) or types.is_large_string(found)
        texts = column if is_text else cast_column(column, ReadColumn(name, "string"))[0]
        kind, values = "bytes_list", texts.cast(pa.binary()).to_pylist()
    return kind, [None if value is None else [value] for value in values]
