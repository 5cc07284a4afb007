"""CSV files as blocks of typed columns: cutting at record ends, and two roads of conversion.

A file is cut into chunks of whole records, which threads convert on their own. A chunk that Arrow's
typed conversion refuses is converted again as text, cell by cell, so one bad row costs one chunk.
Imports cells, vectors, csv_head, csv_records, parallel, storage, errors, numpy and Arrow; must not
count bad rows or know about other files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from trainer import storage
from trainer.cells import (
    ARROW_TYPES,
    Problem,
    ReadColumn,
    check_rules,
    convert_text,
    decode_utf8,
)
from trainer.csv_head import check_encoding, check_header, check_records
from trainer.csv_records import first_records, last_record_end, quote_positions, take_record
from trainer.errors import UserError
from trainer.parallel import map_in_order
from trainer.vectors import text_vectors

# A block of some 53,000 rows of the taxi table: large enough for the encoder, whose every operation
# costs a microsecond however few rows it has (against 1 MiB, taxi rows are read and encoded 1.2
# times as fast; 2 cores, November 2026), small enough to have several in flight.
BLOCK_BYTES = 4 << 20
# A longer record is taken for a quoted value that never ends.
MAX_RECORD_BYTES = 16 << 20
_ENCODING_ADVICE = "Save the file as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW_FILE"
_BOM = b"\xef\xbb\xbf"


class CsvFormat(NamedTuple):
    """How the records of a file are written."""

    column_names: tuple[str, ...] | None  # None: the first record names them
    delimiter: str
    null_values: tuple[str, ...]
    decimal_point: str = "."


class Rows(NamedTuple):
    """The good rows of a stretch of a file, and its bad ones."""

    num_records: int  # good and bad
    row_numbers: npt.NDArray[np.int64]  # of the good rows, from 0 in this stretch, increasing
    columns: dict[str, pa.Array]
    problems: list[Problem]  # one a bad row, by row


class CsvFile:
    """An open CSV file, its head checked."""

    def __init__(self, path: str, csv_format: CsvFormat, columns: tuple[ReadColumn, ...]) -> None:
        """Open `path` and check its head.

        Raises:
            UserError: the file is empty, not UTF-8, or its columns do not fit.
        """
        self._path = path
        self._format = csv_format
        self._columns = columns
        self._stream = _open(path)
        head = self._read(BLOCK_BYTES)
        self._start = head[len(_BOM) :] if head.startswith(_BOM) else head
        check_encoding(path, head)
        if not self._start.strip(b"\r\n"):
            raise UserError(f"{path} is empty; expected rows of {len(columns)} columns or more")
        self._is_cut = len(head) >= BLOCK_BYTES
        self.has_header = csv_format.column_names is None
        self.names = csv_format.column_names or self._take_header()
        records = first_records(self._start, csv_format.delimiter, is_cut=self._is_cut)
        self.has_rows = bool(self._start.strip(b"\r\n"))
        check_records(path, self.names, records, has_header=self.has_header)

    def read(self) -> Iterator[Rows]:
        """Stretches of about BLOCK_BYTES, in order; their bounds depend on the bytes alone."""
        with self._stream:
            yield from map_in_order(self._convert, self._chunks())

    def _read(self, num_bytes: int) -> bytes:
        try:
            data: bytes = self._stream.read(num_bytes)
        except (OSError, pa.ArrowInvalid) as error:
            hint = "; is it really gzip, and whole?" if self._path.endswith(".gz") else ""
            raise UserError(f"cannot read {self._path}: {error}{hint}") from error
        return data

    def _take_header(self) -> tuple[str, ...]:
        """Names in the first record, which is cut off the start."""
        try:
            names, self._start = take_record(self._start, self._format.delimiter)
        except csv.Error as error:
            raise UserError(
                f"{self._path}: line 1 does not name columns: {error}; "
                "if the file has no header, list them in data.column_names"
            ) from error
        if not self._start and self._is_cut:
            raise UserError(
                f"{self._path}: line 1 does not end within {BLOCK_BYTES} bytes; expected the names "
                "of the columns. If the file has no header, list them in data.column_names"
            )
        check_header(self._path, names, self._columns, self._format.delimiter)
        return names

    def _chunks(self) -> Iterator[pa.Buffer]:
        """Buffers of whole records, in order."""
        data = self._start
        while True:
            end = last_record_end(data, self._format.delimiter)
            if end:
                yield pa.py_buffer(data).slice(0, end)
                data = data[end:]
            if len(data) > MAX_RECORD_BYTES:
                raise UserError(f"{self._path}: {_NEVER_ENDS} within {MAX_RECORD_BYTES >> 20} MiB")
            # As much again, or a record of many blocks would be looked through once a block.
            more = self._read(max(BLOCK_BYTES, len(data)))
            if not more:
                break
            data += more
        if data.strip(b"\r\n"):
            if len(quote_positions(data, self._format.delimiter)) % 2:
                shown = data[:60].decode(errors="replace")
                raise UserError(f"{self._path}: {_NEVER_ENDS}; see the record {shown!r}")
            yield pa.py_buffer(data)

    def _convert(self, chunk: pa.Buffer) -> Rows:
        try:
            types = {column.name: ARROW_TYPES[column.dtype] for column in self._columns}
            table = self._parse_chunk(chunk, types, tuple(self._format.null_values))
            arrays = {column.name: _single(table[column.name]) for column in self._columns}
            problems = []
            for column in self._columns:
                if column.dtype == "vector":
                    arrays[column.name], unfit = text_vectors(arrays[column.name], column, ())
                    problems += unfit
            return check_rows(arrays, self._columns, table.num_rows, problems)
        except pa.ArrowInvalid:
            return self._convert_as_text(chunk)

    def _convert_as_text(self, chunk: pa.Buffer) -> Rows:
        """The tolerant road: the same rows, with a reason for each that is bad."""
        misfits: list[Problem] = []

        def skip(row: Any) -> str:
            reason = f"{row.actual_columns} fields instead of {row.expected_columns}"
            misfits.append(Problem(row.number - 1, reason))
            return "skip"

        types = {column.name: pa.binary() for column in self._columns}
        # Arrow tells `skip` the text of a row, and stumbles where that is not UTF-8. As Latin-1 any
        # bytes are a text.
        encoding = "utf-8" if _is_utf8(chunk) else "latin-1"
        try:
            table = self._parse_chunk(chunk, types, (), skip, encoding)
        except pa.ArrowInvalid as error:
            raise UserError(f"{self._path} is not readable CSV: {error}") from error
        num_records = table.num_rows + len(misfits)
        # Row numbers of the records that have the right number of fields.
        numbers = np.delete(np.arange(num_records), [problem.row for problem in misfits])
        arrays, problems = {}, []
        for column in self._columns:
            cells = _single(table[column.name])
            if encoding == "latin-1":
                cells = pa.array(
                    [cell.decode().encode(encoding) for cell in cells.to_pylist()], pa.binary()
                )
            text, undecodable = decode_utf8(cells, column)
            nulls = self._format.null_values
            if column.dtype == "vector":
                arrays[column.name], unreadable = text_vectors(text, column, nulls)
            else:
                point = self._format.decimal_point
                arrays[column.name], unreadable = convert_text(text, column, nulls, point)
            problems += [p._replace(advice=_ENCODING_ADVICE) for p in undecodable] + unreadable
        rows = check_rows(arrays, self._columns, table.num_rows, problems)
        found = [problem._replace(row=int(numbers[problem.row])) for problem in rows.problems]
        return rows._replace(
            num_records=num_records,
            row_numbers=numbers[rows.row_numbers],
            problems=sorted(found + misfits, key=lambda problem: problem.row),
        )

    def _parse_chunk(
        self,
        chunk: pa.Buffer,
        types: dict[str, Any],
        nulls: tuple[str, ...],
        skip: Any = None,
        encoding: str = "utf-8",
    ) -> pa.Table:
        if encoding == "utf-8" and chunk.slice(0, min(chunk.size, len(_BOM))).to_pybytes() == _BOM:
            # Arrow leaves out a mark at the start, which within a file belongs to the value.
            chunk = pa.py_buffer(_BOM + chunk.to_pybytes())
        return pyarrow.csv.read_csv(
            pa.BufferReader(chunk),
            # One thread, since chunks are converted side by side, and row numbers need it.
            pyarrow.csv.ReadOptions(
                column_names=self.names,
                use_threads=False,
                block_size=2 * chunk.size + 1,  # Latin-1 becomes up to twice as long in UTF-8
                encoding=encoding,
            ),
            # newlines_in_values costs nothing measurable here: a chunk is one Arrow block.
            pyarrow.csv.ParseOptions(
                delimiter=self._format.delimiter,
                newlines_in_values=True,
                invalid_row_handler=skip,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=list(nulls),
                strings_can_be_null=bool(nulls),
                decimal_point=self._format.decimal_point,
            ),
        )


_NEVER_ENDS = "a quoted value does not end"


def check_rows(
    arrays: dict[str, pa.Array],
    columns: tuple[ReadColumn, ...],
    num_rows: int,
    problems: list[Problem],
) -> Rows:
    """Rows of `arrays` without those in `problems` and those that break a rule of their column."""
    found: dict[int, Problem] = {}
    for column in columns:
        for problem in check_rules(arrays[column.name], column):
            found.setdefault(problem.row, problem)
    # A cell that could not be converted is null by now: what it was tells more than its absence.
    found |= {problem.row: problem for problem in reversed(problems)}
    numbers = np.arange(num_rows)
    if found:
        numbers = np.delete(numbers, list(found))
        arrays = {name: array.take(pa.array(numbers)) for name, array in arrays.items()}
    return Rows(num_rows, numbers, arrays, [found[row] for row in sorted(found)])


def _open(path: str) -> Any:
    """The unpacked bytes as an Arrow stream."""
    is_remote = storage.is_remote(path)
    raw = pa.PythonFile(storage.open_read(path), "r") if is_remote else pa.OSFile(path)
    return pa.CompressedInputStream(raw, "gzip") if path.endswith(".gz") else raw


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _is_utf8(data: pa.Buffer) -> bool:
    try:
        data.to_pybytes().decode()
    except UnicodeDecodeError:
        return False
    return True
