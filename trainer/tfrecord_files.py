"""TFRecord files of tf.Example as blocks of typed columns.

TensorFlow reads the records and parses them in batches of thousands. A batch that it refuses, for a
record is no tf.Example or a feature has another type than in the first records, is parsed again one
by one, so that each bad row has its reason. Axes: B records of a batch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from google.protobuf.message import DecodeError

from trainer import storage
from trainer.cells import Problem, ReadColumn
from trainer.csv_files import Rows, check_rows
from trainer.errors import UserError, nearest
from trainer.memory_tables import BATCH_ROWS
from trainer.parallel import map_in_order
from trainer.parquet_files import cast_column

# Of records in a batch: with more columns there are fewer rows, to bound what is in flight.
BATCH_BYTES = 64 << 20
# Records that tell the type of each feature and the length of a record.
FIRST_RECORDS = 256
_READ_BYTES = 4 << 20

# Lists of a tf.Example, and which of them a column may be read from. Numbers may be whole ones, and
# categories may be numbers; what is no number is never one, though its text may look like it.
_DTYPES = {"float_list": tf.float32, "int64_list": tf.int64, "bytes_list": tf.string}
_KINDS = {
    "float": ("float_list", "int64_list"),
    "vector": ("float_list", "int64_list"),
    "int": ("int64_list", "float_list"),
    "string": ("bytes_list", "int64_list"),
    "dictionary": ("bytes_list", "int64_list"),
}

logger = logging.getLogger(__name__)


class Cells(NamedTuple):
    """Values of a feature in a batch: those of record b are values[offsets[b]:offsets[b + 1]]."""

    values: npt.NDArray[Any]  # float32, float64, int64 or bytes objects
    offsets: npt.NDArray[np.integer]  # (B + 1,)


class TFRecordFile:
    """A TFRecord file, its first records looked at."""

    has_header = False

    def __init__(self, path: str, columns: tuple[ReadColumn, ...]) -> None:
        """Look at the first records of `path`, gzipped where it ends in .gz.

        Raises:
            UserError: the file cannot be read.
        """
        self._path = path
        self._columns = columns
        # A feature that no record has is missing, so all declared columns are there.
        self.names = tuple(column.name for column in columns)
        self._open = contextlib.ExitStack()
        self._local = self._open.enter_context(_local(path))
        first = next(self._read(FIRST_RECORDS), None)
        records: list[bytes] = [] if first is None else first.numpy().tolist()
        self.has_rows = len(records) > 0
        # Features by name of the first records that are a tf.Example.
        self.first_examples = [e for record in records if (e := _parse(record)) is not None]
        self._kinds = self._first_kinds()
        num_bytes = sum(map(len, records)) / max(1, len(records))
        most = 2 ** int(np.log2(max(FIRST_RECORDS, BATCH_BYTES / max(1.0, num_bytes))))
        self._batch_rows = min(BATCH_ROWS, most)

    def read(self) -> Iterator[Rows]:
        """Batches of records in order; their bounds depend on the first records alone."""
        with self._open:
            yield from map_in_order(self._convert, self._read(self._batch_rows))

    def _read(self, batch_rows: int) -> Iterator[tf.Tensor]:
        """(B,) texts of the records."""
        kind = "GZIP" if self._path.endswith(".gz") else ""
        records = tf.data.TFRecordDataset(self._local, kind, buffer_size=_READ_BYTES)
        num_records = 0
        batches = iter(records.batch(batch_rows))
        while True:
            try:
                batch = next(batches, None)
            except (tf.errors.OpError, OSError) as error:
                raise UserError(self._damaged(num_records, batch_rows, error)) from error
            if batch is None:
                return
            num_records += len(batch)
            yield batch

    def _damaged(self, num_records: int, batch_rows: int, error: Exception) -> str:
        with open(self._local, "rb") as stream:
            is_gzip = stream.read(2) == b"\x1f\x8b"
        if is_gzip != self._path.endswith(".gz"):
            hint = "it is gzipped; name it .gz" if is_gzip else "it is not gzipped; drop the .gz"
        else:
            reason = (
                getattr(error, "message", str(error)).splitlines()[0].replace(self._local, "it")
            )
            hint = f"{reason.split(' [Op:')[0]}; write it again"
        return (
            f"{self._path} is damaged, or no TFRecord file, within records {num_records + 1} to "
            f"{num_records + batch_rows}: {hint}"
        )

    def _first_kinds(self) -> dict[str, str]:
        """The list in which the first records have each column; a likely one without any."""
        examples = self.first_examples
        kinds = {}
        known = {name for example in examples for name in example}
        for column in self._columns:
            found = (e[column.name].WhichOneof("kind") for e in examples if column.name in e)
            kinds[column.name] = next(
                (kind for kind in found if kind in _KINDS[column.dtype]), _KINDS[column.dtype][0]
            )
            if examples and column.name not in known:
                logger.warning(
                    "%s: none of the first %d records has a feature %r%s",
                    self._path,
                    len(examples),
                    column.name,
                    nearest(column.name, sorted(known)),
                )
        return kinds

    def _convert(self, records: tf.Tensor) -> Rows:
        try:
            cells = self._parse_batch(records)
            problems: list[Problem] = []
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
            # The latter from TensorFlow's message, which has the bytes of the record.
            cells, problems = self._parse_each(records.numpy().tolist())
        arrays = {}
        for column in self._columns:
            arrays[column.name], unreadable = _to_arrow(cells[column.name], column)
            problems += unreadable
        return check_rows(arrays, self._columns, len(records), problems)

    def _parse_batch(self, records: tf.Tensor) -> dict[str, Cells]:
        features = {
            name: tf.io.RaggedFeature(_DTYPES[kind], row_splits_dtype=tf.int64)
            for name, kind in self._kinds.items()
        }
        with tf.device("CPU"):
            parsed = tf.io.parse_example(records, features)
        return {
            name: Cells(found.values.numpy(), found.row_splits.numpy())
            for name, found in parsed.items()
        }

    def _parse_each(self, records: Sequence[bytes]) -> tuple[dict[str, Cells], list[Problem]]:
        """The slow way; what cannot be read is missing, with its reason."""
        problems: list[Problem] = []
        examples = [_parse(record) for record in records]
        problems += [
            Problem(row, "is no tf.Example") for row, e in enumerate(examples) if e is None
        ]
        cells = {}
        for column in self._columns:
            lists: list[Sequence[Any]] = []
            found_kinds = set()
            for row, example in enumerate(examples):
                feature = example[column.name] if example and column.name in example else None
                kind = feature.WhichOneof("kind") if feature is not None else None
                if kind is None:
                    lists.append(())
                elif kind in _KINDS[column.dtype]:
                    found_kinds.add(kind)
                    lists.append(getattr(feature, kind).value)
                else:
                    wanted = " or ".join(_KINDS[column.dtype])
                    reason = f"{column.role} {column.name}: a {kind} instead of a {wanted}"
                    problems.append(Problem(row, reason))
                    lists.append(())
            cells[column.name] = _collect(lists, found_kinds)
        return cells, problems


def _parse(record: bytes) -> Any:
    """Features of a record by name; None where it is no tf.Example."""
    try:
        return tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return None


def _collect(lists: Sequence[Sequence[Any]], kinds: set[str]) -> Cells:
    """Lists of one type; of several, numbers become float64 and texts bytes."""
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in lists])])
    flat: list[Any] = [value for values in lists for value in values]
    if "bytes_list" in kinds:
        flat = [v if isinstance(v, bytes) else str(v).encode() for v in flat]
        objects = np.empty(len(flat), object)
        objects[:] = flat
        return Cells(objects, offsets)
    dtype = np.float64 if len(kinds) > 1 else np.int64 if kinds == {"int64_list"} else np.float32
    return Cells(np.array(flat, dtype), offsets)


def _to_arrow(cells: Cells, column: ReadColumn) -> tuple[pa.Array, list[Problem]]:
    """(B,) values of the column's type, null where a record has none or cannot be read."""
    is_bytes = cells.values.dtype == object
    values = pa.array(cells.values, pa.binary() if is_bytes else None)
    lengths = np.diff(cells.offsets)
    if column.dtype == "vector":
        return cast_column(_lists(values, cells.offsets, lengths > 0), column)
    is_joined = column.delimiter is not None
    problems = [
        Problem(int(row), f"{column.role} {column.name}: {lengths[row]} values instead of 1")
        for row in np.flatnonzero(lengths > 1)
        if not is_joined
    ]
    singles = values
    if not np.all(lengths == 1):
        places = pa.array(cells.offsets[:-1].astype(np.int64), mask=lengths != 1)
        singles = values.take(places)
    converted, unreadable = cast_column(singles, column)
    if is_joined and np.any(lengths > 1):
        # A single text may itself have several values, joined already.
        joined, unfit = cast_column(_lists(values, cells.offsets, lengths > 1), column)
        converted = pc.coalesce(converted.cast(pa.string()), joined.cast(pa.string()))
        unreadable += unfit
    return converted, problems + unreadable


def _lists(
    values: pa.Array, offsets: npt.NDArray[np.integer], is_used: npt.NDArray[np.bool_]
) -> pa.Array:
    """(B,) lists of the rows that are used, null for the others."""
    lengths = np.diff(offsets)
    places = np.flatnonzero(np.repeat(is_used, lengths))
    starts = np.concatenate([[0], np.cumsum(np.where(is_used, lengths, 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(starts), values.take(pa.array(places)), mask=pa.array(~is_used)
    )


@contextlib.contextmanager
def _local(path: str) -> Iterator[str]:
    """The file on this machine: a remote one is copied for the time of the reading."""
    if not storage.is_remote(path):
        with storage.open_read(path):  # or TensorFlow would say, in several lines, what is wrong
            yield path
        return
    with tempfile.TemporaryDirectory(prefix="tfrecord-") as folder:
        local = os.path.join(folder, "records")
        with storage.open_read(path) as stream, open(local, "wb") as copy:
            shutil.copyfileobj(stream, copy, _READ_BYTES)
        yield local


def columns_of(path: str) -> tuple[ReadColumn, ...]:
    """What the first records have, in the order of their names, to read all of it.

    A list of numbers is a vector; one of texts, or of so many whole numbers in one record and
    others in another, as of ids, is joined by `|`.

    Raises:
        UserError: the file cannot be read, or has lists of numbers of different lengths.
    """
    lists: dict[str, dict[str, set[int]]] = {}
    for example in TFRecordFile(path, ()).first_examples:
        for name, feature in example.items():
            if kind := feature.WhichOneof("kind"):
                length = len(getattr(feature, kind).value)
                lists.setdefault(name, {}).setdefault(kind, set()).add(length)
    return tuple(_column_of(path, name, lists[name]) for name in sorted(lists))


def _column_of(path: str, name: str, lengths: dict[str, set[int]]) -> ReadColumn:
    sizes = set().union(*lengths.values()) - {0}
    if "bytes_list" in lengths:
        return ReadColumn(name, "string", delimiter="|" if max(sizes, default=1) > 1 else None)
    if len(sizes) > 1 and set(lengths) == {"int64_list"}:
        return ReadColumn(name, "string", delimiter="|")
    if len(sizes) > 1:
        raise UserError(
            f"{path}: feature {name!r} has lists of {min(sizes)} to {max(sizes)} numbers; only a "
            "--config without it can leave it out"
        )
    if max(sizes, default=1) > 1:
        return ReadColumn(name, "vector", size=max(sizes))
    return ReadColumn(name, "int" if set(lengths) == {"int64_list"} else "float")
