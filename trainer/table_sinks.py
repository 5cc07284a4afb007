"""Arrow tables written as files: CSV, Parquet, TFRecord of tf.Example."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import tensorflow as tf

from trainer.errors import UserError
from trainer.example_records import example_records
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
        for record in example_records(table):
            self._writer.write(record)

    def close(self) -> None:
        self._writer.close()
