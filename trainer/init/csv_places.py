"""Whole records from many places of CSV files, spread evenly over all their bytes.

A packed file is read through once and thinned on the way. Imports csv_dialect, csv_records,
storage, errors, numpy and Arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from trainer import storage
from trainer.csv_records import last_record_end, take_record
from trainer.errors import UserError, listed
from trainer.init.csv_dialect import CsvDialect, check_text

HEAD_BYTES = 1 << 20
# Of a local file; a request to a bucket reads 8 MiB at least, so fewer are made there.
PLACES, REMOTE_PLACES = 256, 32
# A table of so few bytes is read whole, a quarter of a second; rows beyond the wanted are dropped.
WHOLE_BYTES = 64 << 20
# Packed files that are opened, of more.
MOST_FILES = 64


class Piece(NamedTuple):
    """Whole records, without the header."""

    path: str
    data: bytes


class Pieces(NamedTuple):
    """What was read of all files, in their order."""

    pieces: list[Piece]
    total_bytes: int  # of all files, unpacked; estimated for packed ones
    is_whole: bool


def read_head(path: str) -> bytes:
    """The first bytes of a file, unpacked.

    Raises:
        UserError: it cannot be read.
    """
    with _unpacked(path) as stream:
        return _read(stream, HEAD_BYTES, path)


def places_of(files: Sequence[str], dialect: CsvDialect, wanted_bytes: int) -> Pieces:
    """Files in which one can go to any place."""
    sizes = [_size(path) for path in files]
    total = sum(sizes)
    if total <= max(wanted_bytes, WHOLE_BYTES):
        return Pieces([_whole_file(path, dialect) for path in files], total, True)
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
    return Pieces(pieces, total, False)


def chunks_of(files: Sequence[str], dialect: CsvDialect, wanted_bytes: int) -> Pieces:
    """Files that are read from end to end, of which evenly spaced chunks are kept."""
    chosen = spread(files, MOST_FILES)
    length = max(1 << 12, wanted_bytes // PLACES)
    most = max(2, PLACES // len(chosen))
    pieces: list[Piece] = []
    num_bytes, is_whole = 0, len(chosen) == len(files)
    for path in chosen:
        chunks, seen, stride = _thin(path, length, most)
        num_bytes += seen
        is_whole &= stride == 1
        if stride == 1:
            pieces.append(Piece(path, without_header(path, b"".join(chunks), dialect)))
            continue
        for number, chunk in enumerate(chunks):
            records = (
                _from_record(chunk, dialect) if number else without_header(path, chunk, dialect)
            )
            pieces.append(Piece(path, records[: last_record_end(records, dialect.delimiter)]))
    packed = [_size(path) for path in files]
    share = sum(_size(path) for path in chosen) / max(1, sum(packed))
    return Pieces([p for p in pieces if p.data], round(num_bytes / share), is_whole)


def without_header(path: str, data: bytes, dialect: CsvDialect) -> bytes:
    """The records at the head of a file, without mark and header.

    Raises:
        UserError: it is no text, or names other columns.
    """
    data = check_text(path, data)
    if not dialect.has_header:
        return data
    names, rest = take_record(data, dialect.delimiter)
    check_same(path, names, "the first file", dialect.names)
    return rest


def check_same(path: str, names: Sequence[str], first: str, expected: Sequence[str]) -> None:
    """Raise UserError where a file has other columns than the first, or in another order."""
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


def parse(piece: Piece, dialect: CsvDialect) -> tuple[pa.Table, int]:
    """Records as texts, and how many were left out for their number of fields.

    Numbers with a decimal comma get a point, as what looks at them expects it.
    """
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
    if dialect.decimal_point == ",":
        pointed = [
            pc.replace_substring_regex(column, r"^(\s*[+-]?\d+),(\d+\s*)$", r"\1.\2")
            for column in table.columns
        ]
        table = pa.table(pointed, schema)
    return table, len(misfits)


def spread(files: Sequence[str], most: int) -> list[str]:
    """At most `most` of the files, evenly spaced, the first and the last among them."""
    if len(files) <= most:
        return list(files)
    return [files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)]


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


def _size(path: str) -> int:
    with storage.open_read(path) as stream:
        return stream.seek(0, 2)


def _whole_file(path: str, dialect: CsvDialect) -> Piece:
    with _unpacked(path) as stream:
        parts = []
        while data := _read(stream, 1 << 24, path):
            parts.append(data)
    return Piece(path, without_header(path, b"".join(parts), dialect))


def _stretch(stream: BinaryIO, path: str, offset: int, length: int, dialect: CsvDialect) -> Piece:
    """Whole records of some `length` bytes from the first that begins at or after `offset`."""
    stream.seek(offset)
    data = stream.read(length)
    while True:
        records = without_header(path, data, dialect) if not offset else _from_record(data, dialect)
        more = stream.read(max(length, 1 << 16))
        if not more:
            return Piece(path, records)
        if end := last_record_end(records, dialect.delimiter):
            return Piece(path, records[:end])
        data += more


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
