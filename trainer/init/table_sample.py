"""Rows to judge a table by, as text: all of a small one, of a large one from many places.

The places are spread evenly over all bytes (CSV) or row groups (Parquet) of all files, so rows at
the end count as those at the head; a packed file is read through once and thinned on the way. The
same files give the same rows. Imports csv_dialect, cells, csv_records, parquet_files, sampling,
storage, errors, numpy and Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from trainer import storage
from trainer.cells import ReadColumn
from trainer.csv_records import last_record_end, take_record
from trainer.errors import UserError, listed
from trainer.init.csv_dialect import CsvDialect, Given, check_text, detect_dialect
from trainer.parquet_files import cast_column
from trainer.sampling import splitmix64

HEAD_BYTES = 1 << 20
# Of a local file; a request to a bucket reads 8 MiB at least, so fewer are made there.
PLACES, REMOTE_PLACES = 256, 32
# Packed files, and the heads of Parquet files, that are opened.
MOST_FILES = 64
# A table of so few bytes is read whole, a quarter of a second; rows beyond the wanted are dropped.
WHOLE_BYTES = 64 << 20
# Texts that are held: 20 million short ones take about 1 GB.
MOST_CELLS = 20_000_000
_BATCH_ROWS = 2048


@dataclass(frozen=True)
class TableSample:
    """Sampled rows in the order of the files.

    Attributes:
        columns: (N,) string arrays by name; null or "" is missing.
        total_rows: of all files.
        is_whole: whether every row was looked at.
        is_counted: whether `total_rows` was counted; else it is estimated by bytes or files.
        num_places: stretches of rows that were read; 0 where all were, and some kept by a hash.
        num_misfits: records among them that have another number of fields.
        dialect: of CSV files, None for Parquet.
        unreadable: columns of types that the trainer does not read, with their types.
    """

    files: tuple[str, ...]
    columns: dict[str, pa.Array]
    total_rows: int
    is_whole: bool
    is_counted: bool
    num_places: int
    num_misfits: int
    dialect: CsvDialect | None
    unreadable: dict[str, str]

    @property
    def num_rows(self) -> int:
        """Rows that were looked at."""
        return len(next(iter(self.columns.values())))


def sample_csv(files: Sequence[str], num_rows: int, given: Given) -> TableSample:
    """Up to `num_rows` rows of CSV files, fewer where they have very many columns.

    Raises:
        UserError: a file is no CSV in UTF-8, has no rows, or other columns than the first.
    """
    head = _read_head(files[0])
    dialect = detect_dialect(files[0], head, is_cut=len(head) >= HEAD_BYTES, given=given)
    num_rows = _within_cells(num_rows, len(dialect.names))
    row_bytes = _mean_row_bytes(files[0], head, dialect)
    reader = _sample_packed if any(f.endswith(".gz") for f in files) else _sample_plain
    found = reader(files, dialect, round(num_rows * row_bytes))
    tables = [_parse(piece, dialect) for piece in found.pieces]
    table = pa.concat_tables([table for table, _ in tables]).combine_chunks()
    num_misfits = sum(misfits for _, misfits in tables)
    if not len(table):
        raise UserError(f"{files[0]} has no rows but its header; expected rows of a table")
    seen_bytes = sum(len(piece.data) for piece in found.pieces)
    total = len(table) if found.is_whole else round(len(table) * found.total_bytes / seen_bytes)
    kept = _kept_rows(len(table), num_rows)
    return TableSample(
        files=tuple(files),
        columns=_single_columns(table, kept),
        total_rows=total,
        is_whole=found.is_whole and kept is None,
        is_counted=found.is_whole,
        num_places=0 if found.is_whole else len(found.pieces),
        num_misfits=num_misfits,
        dialect=dialect,
        unreadable={},
    )


def sample_parquet(files: Sequence[str], num_rows: int) -> TableSample:
    """Up to `num_rows` rows of Parquet files; texts as the trainer makes them.

    Raises:
        UserError: a file is no Parquet, or has other columns than the first.
    """
    opened = [_open_parquet(path) for path in _spread(files, MOST_FILES)]
    schema = opened[0].schema_arrow
    for path, file in zip(_spread(files, MOST_FILES), opened, strict=True):
        _check_same(path, file.schema_arrow.names, files[0], schema.names)
    names = list(schema.names)
    num_rows = _within_cells(num_rows, len(names))
    unreadable = {n: str(schema.field(n).type) for n in names if _is_nested(schema.field(n).type)}
    wanted = [name for name in names if name not in unreadable]
    if len(wanted) < 2:
        raise UserError(
            f"{files[0]} has {len(wanted)} columns of plain values; a target and one more are "
            "needed"
        )
    seen = sum(file.metadata.num_rows for file in opened)
    total = round(seen * len(files) / len(opened))
    if not seen:
        raise UserError(f"{files[0]} has no rows; expected rows of a table")
    is_whole = total <= num_rows and len(opened) == len(files)
    batches = list(_parquet_batches(opened, wanted, num_rows if seen > num_rows else seen))
    columns = {
        name: pa.concat_arrays(
            [
                cast_column(batch.column(name), ReadColumn(name, "string"))[0].cast(pa.string())
                for batch in batches
            ]
        )
        for name in wanted
    }
    return TableSample(
        files=tuple(files),
        columns=columns,
        total_rows=total,
        is_whole=is_whole,
        is_counted=len(opened) == len(files),
        num_places=len(batches),
        num_misfits=0,
        dialect=None,
        unreadable=unreadable,
    )


class _Piece(NamedTuple):
    """Whole records, without the header."""

    path: str
    data: bytes


class _Pieces(NamedTuple):
    pieces: list[_Piece]
    total_bytes: int  # of all files, unpacked; estimated for packed ones
    is_whole: bool


def _within_cells(num_rows: int, num_columns: int) -> int:
    return max(1, min(num_rows, MOST_CELLS // num_columns))


def _read_head(path: str) -> bytes:
    with _unpacked(path) as stream:
        return _read(stream, HEAD_BYTES, path)


def _unpacked(path: str) -> Any:
    """The file as a stream of plain bytes."""
    stream = storage.open_read(path)
    if not path.endswith(".gz"):
        return stream
    return pa.CompressedInputStream(pa.PythonFile(stream, "r"), "gzip")


def _read(stream: Any, num_bytes: int, path: str) -> bytes:
    try:
        return cast(bytes, stream.read(num_bytes))
    except (OSError, pa.ArrowInvalid) as error:
        hint = "; is it really gzip, and whole?" if path.endswith(".gz") else ""
        raise UserError(f"cannot read {path}: {error}{hint}") from error


def _mean_row_bytes(path: str, head: bytes, dialect: CsvDialect) -> float:
    records = _without_header(path, head, dialect)
    records = records[: last_record_end(records, dialect.delimiter) or len(records)]
    table, num_misfits = _parse(_Piece(path, records), dialect)
    return len(records) / max(1, len(table) + num_misfits)


def _sample_plain(files: Sequence[str], dialect: CsvDialect, wanted_bytes: int) -> _Pieces:
    """Files in which one can go to any place."""
    sizes = [_size(path) for path in files]
    total = sum(sizes)
    if total <= max(wanted_bytes, WHOLE_BYTES):
        return _Pieces([_whole_file(path, dialect) for path in files], total, True)
    num_places = REMOTE_PLACES if storage.is_remote(files[0]) else PLACES
    length = max(1, wanted_bytes // num_places)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    pieces = []
    for place in range(num_places):
        # The first place is the head of the first file, the last one reaches the end of the last.
        at = round(place * (total - length) / max(1, num_places - 1))
        index = int(np.searchsorted(starts, at, side="right")) - 1
        with storage.open_read(files[index]) as stream:
            piece = _stretch(stream, files[index], at - int(starts[index]), length, dialect)
        if piece.data:
            pieces.append(piece)
    return _Pieces(pieces, total, False)


def _size(path: str) -> int:
    with storage.open_read(path) as stream:
        return stream.seek(0, 2)


def _whole_file(path: str, dialect: CsvDialect) -> _Piece:
    with _unpacked(path) as stream:
        parts = []
        while data := _read(stream, 1 << 24, path):
            parts.append(data)
    return _Piece(path, _without_header(path, b"".join(parts), dialect))


def _stretch(stream: BinaryIO, path: str, offset: int, length: int, dialect: CsvDialect) -> _Piece:
    """Whole records of some `length` bytes from the first that begins at or after `offset`."""
    stream.seek(offset)
    data = stream.read(length)
    while True:
        records = (
            _without_header(path, data, dialect) if not offset else _from_record(data, dialect)
        )
        more = stream.read(max(length, 1 << 16))
        if not more:
            return _Piece(path, records)
        if end := last_record_end(records, dialect.delimiter):
            return _Piece(path, records[:end])
        data += more


def _sample_packed(files: Sequence[str], dialect: CsvDialect, wanted_bytes: int) -> _Pieces:
    """Files that are read from end to end, of which evenly spaced chunks are kept."""
    chosen = _spread(files, MOST_FILES)
    length = max(1 << 12, wanted_bytes // PLACES)
    most = max(2, PLACES // len(chosen))
    pieces: list[_Piece] = []
    num_bytes, is_whole = 0, len(chosen) == len(files)
    for path in chosen:
        chunks, seen, stride = _thin(path, length, most)
        num_bytes += seen
        is_whole &= stride == 1
        if stride == 1:
            pieces.append(_Piece(path, _without_header(path, b"".join(chunks), dialect)))
            continue
        for number, chunk in enumerate(chunks):
            records = (
                _from_record(chunk, dialect) if number else _without_header(path, chunk, dialect)
            )
            pieces.append(_Piece(path, records[: last_record_end(records, dialect.delimiter)]))
    packed = [_size(path) for path in files]
    share = sum(_size(path) for path in chosen) / max(1, sum(packed))
    return _Pieces([p for p in pieces if p.data], round(num_bytes / share), is_whole)


def _thin(path: str, length: int, most: int) -> tuple[list[bytes], int, int]:
    """Every stride-th chunk of a file, at most 2 * `most`; the bytes seen, and the stride."""
    chunks: list[bytes] = []
    number = seen = 0
    stride = 1
    with _unpacked(path) as stream:
        while data := _read(stream, length, path):
            if number % stride == 0:
                chunks.append(data)
                if len(chunks) > 2 * most:
                    chunks, stride = chunks[::2], 2 * stride
            number, seen = number + 1, seen + len(data)
    return chunks, seen, stride


def _without_header(path: str, data: bytes, dialect: CsvDialect) -> bytes:
    data = check_text(path, data)
    if not dialect.has_header:
        return data
    names, rest = take_record(data, dialect.delimiter)
    _check_same(path, names, "the first file", dialect.names)
    return rest


def _check_same(path: str, names: Sequence[str], first: str, expected: Sequence[str]) -> None:
    if set(names) != set(expected):
        differing = listed(sorted(set(names) ^ set(expected)))
        raise UserError(
            f"{path} has other columns than {first}, differing in {differing}; all files of a "
            "table must have the same"
        )
    if list(names) != list(expected):
        raise UserError(
            f"{path} has its columns in another order than {first}; the trainer reads them by "
            "name, but the sample cannot be taken so: give one file to --csv, and the pattern to "
            "data.train afterwards"
        )


def _from_record(data: bytes, dialect: CsvDialect) -> bytes:
    """What follows the first record end in bytes from the middle of a file.

    Whether the bytes begin within a quoted value cannot be seen from them alone: of both
    readings, the one counts whose first records have the right number of fields more often.
    """
    readings = []
    for inside in (b"", b'"'):
        _, rest = take_record(inside + data, dialect.delimiter) if data else ((), b"")
        sample = rest[: 1 << 16]
        num_right = 0
        for _ in range(20):
            end = last_record_end(sample, dialect.delimiter)
            if not end:
                break
            record, sample = take_record(sample, dialect.delimiter)
            num_right += len(record) == len(dialect.names)
        readings.append((num_right, rest))
        if b'"' not in data:
            break
    return max(readings, key=lambda reading: reading[0])[1]


def _parse(piece: _Piece, dialect: CsvDialect) -> tuple[pa.Table, int]:
    """Records as texts, and how many were left out for their number of fields."""
    misfits: list[int] = []

    def skip(row: Any) -> str:
        misfits.append(row.actual_columns)
        return "skip"

    schema = pa.schema([(name, pa.string()) for name in dialect.names])
    if not piece.data.strip(b"\r\n"):
        return schema.empty_table(), 0
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(piece.data),
            pyarrow.csv.ReadOptions(
                column_names=dialect.names, use_threads=False, block_size=2 * len(piece.data) + 1
            ),
            pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            pyarrow.csv.ConvertOptions(column_types=schema, null_values=[]),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise UserError(f"{piece.path} is not readable as CSV in UTF-8: {error}") from error
    return table, len(misfits)


def _kept_rows(num_found: int, num_wanted: int) -> pa.Array | None:
    """Rows to keep where there are too many: those of the lowest hashes, in order."""
    if num_found <= 1.25 * num_wanted:
        return None
    hashes = splitmix64(np.arange(num_found, dtype=np.uint64))
    return pa.array(np.sort(np.argsort(hashes)[:num_wanted]))


def _single_columns(table: pa.Table, kept: pa.Array | None) -> dict[str, pa.Array]:
    table = (table if kept is None else table.take(kept)).combine_chunks()
    return {
        name: column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _spread(files: Sequence[str], most: int) -> list[str]:
    """At most `most` of the files, evenly spaced, the first and the last among them."""
    if len(files) <= most:
        return list(files)
    return [files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)]


def _open_parquet(path: str) -> Any:
    try:
        return pq.ParquetFile(storage.open_read(path))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable Parquet file: {error}") from error


def _is_nested(found: Any) -> bool:
    return bool(pa.types.is_nested(found) or pa.types.is_duration(found) or pa.types.is_null(found))


def _parquet_batches(
    opened: Sequence[Any], names: list[str], num_rows: int
) -> Iterator[pa.RecordBatch]:
    """Evenly spaced batches of the row groups, evenly spaced where there are many."""
    groups = [(f, g) for f in opened for g in range(f.num_row_groups)]
    counts = [file.metadata.row_group(group).num_rows for file, group in groups]
    share = num_rows / max(1, sum(counts))
    chosen = range(len(groups))
    if share < 1 and len(groups) > PLACES:
        chosen = [round(i * (len(groups) - 1) / (PLACES - 1)) for i in range(PLACES)]  # type: ignore[assignment]
        share = num_rows / max(1, sum(counts[i] for i in chosen))
    for i in chosen:
        file, group = groups[i]
        wanted = counts[i] if share >= 1 else max(1, round(counts[i] * share))
        size = min(_BATCH_ROWS, wanted) if share < 1 else counts[i]
        taken = 0
        for number, batch in enumerate(file.iter_batches(max(1, size), [group], names)):
            # The batches so far should hold their share of the rows so far.
            if taken <= share * number * size and taken < wanted:
                yield batch
                taken += batch.num_rows
