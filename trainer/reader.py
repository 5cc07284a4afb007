"""Files and tables in memory as blocks of typed columns, in a fixed order, bad rows accounted for.

Imports csv_files, parquet_files, data_files, memory_tables, cells, storage and errors; must not
know what a column is for, and must not encode anything.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trainer import storage
from trainer.cells import Problem, ReadColumn
from trainer.csv_files import CsvFile, CsvFormat, Rows
from trainer.data_files import Format, format_of
from trainer.errors import UserError, listed, nearest
from trainer.memory_tables import DataFile, MemoryTable
from trainer.parquet_files import ParquetFile, TableFile

__all__ = ["BadRows", "Block", "ReadColumn", "Source", "read_blocks"]

MAX_EXAMPLES = 10
# Of one reason: that a whole column is wrong is told by three rows as well as by ten.
MAX_EXAMPLES_ALIKE = 3

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What to read."""

    files: tuple[DataFile, ...]  # in the order of reading
    columns: tuple[ReadColumn, ...]
    format: Format = "auto"  # auto: by suffix, see data_files.format_of
    # Opens a TFRecord file; handed in, for that takes TensorFlow. None: there are none.
    open_tfrecord: Callable[[str, tuple[ReadColumn, ...]], RowsFile] | None = None
    column_names: tuple[str, ...] | None = None  # of CSV files without a header
    delimiter: str = ","  # CSV only
    decimal_point: str = "."  # CSV only
    null_values: tuple[str, ...] = ("",)  # texts that mean missing; CSV only, Parquet has nulls
    limit_rows: int = 0  # good rows, over all files; 0: all

    def __post_init__(self) -> None:
        """Check `column_names`.

        Raises:
            UserError: they repeat a name, or lack a declared one.
        """
        names = self.column_names
        if names is None:
            return
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            raise UserError(f"data.column_names has {listed(map(repr, twice))} more than once")
        for column in self.columns:
            if column.name not in names:
                raise UserError(
                    f"data.column_names has no {column.name!r}{nearest(column.name, names)}; "
                    f"it has {listed(names)}"
                )


class RowsFile(Protocol):
    """An open file, or a table, its columns checked."""

    names: tuple[str, ...]
    has_rows: bool

    @property
    def has_header(self) -> bool:
        """Whether its first line is none of its rows."""
        ...

    def read(self) -> Iterator[Rows]:
        """Stretches of it, in order."""
        ...


class BadRows:
    """The account of rows that could not be used."""

    def __init__(self, limit: int | None) -> None:
        """Allow up to `limit` bad rows, as data.max_bad_rows says; None: none, whatever it says."""
        self.limit = limit
        self.count = 0
        self.examples: list[str] = []  # the first ten, three of a reason, as "FILE:ROW reason"

    def record(self, path: str, problems: Sequence[Problem], first_row: int = 0) -> None:
        """Count bad rows of a file.

        Args:
            path: the file.
            problems: the rows, in order.
            first_row: what to add to their row numbers. Examples count from 1, with a header as row
                1: the line in the file, unless blank lines or quoted line breaks come before.

        Raises:
            UserError: there are now more than `limit`.
        """
        self.count += len(problems)
        for problem in problems:
            if len(self.examples) == MAX_EXAMPLES:
                break
            if sum(e.endswith(problem.reason) for e in self.examples) < MAX_EXAMPLES_ALIKE:
                self.examples.append(f"{path}:{first_row + problem.row + 1} {problem.reason}")
        if self.count > (self.limit or 0):
            rest = "; ..." if self.count > len(self.examples) else ""
            advice = next((f"{p.advice}. Else mend" for p in problems if p.advice), "Mend")
            setting, way_out = "", ""
            if self.limit is not None:
                setting = f" so far, data.max_bad_rows is {self.limit}"
                way_out = ", or raise data.max_bad_rows to leave them out"
            raise UserError(
                f"{self.count} bad row{'s' if self.count > 1 else ''}{setting}: "
                f"{'; '.join(self.examples)}{rest}. {advice} the rows{way_out}"
            )


class Block(NamedTuple):
    """Consecutive good rows of one file."""

    file_index: int
    row_numbers: npt.NDArray[
        np.int64
    ]  # (B,) from 0 in the file, header and blank lines not counted
    columns: dict[str, pa.Array]  # (B,) each, in the order of the source's columns

    @property
    def num_rows(self) -> int:
        """Rows in the block, 1 or more."""
        return len(self.row_numbers)


def read_blocks(source: Source, bad_rows: BadRows, first_file: int = 0) -> Iterator[Block]:
    """The rows of all files from `first_file` on, block by block.

    Order and bounds of the blocks depend on the files' content alone: about BLOCK_BYTES of CSV, up
    to 65,536 rows of Parquet, less the bad rows. Bad rows are recorded before their block comes;
    `limit_rows` counts from `first_file`.

    Raises:
        UserError: a file cannot be read, is empty, has not the declared columns or others than the
            first file, changes while it is read, or there are too many bad rows.
    """
    left = source.limit_rows
    names: tuple[str, ...] | None = None
    for file_index in range(first_file, len(source.files)):
        found = source.files[file_index]
        path = str(found)
        before = fingerprint_of(found)
        file = _open(source, found)
        names = _check_names(path, file.names, names, source)
        for block in _read_file(file, file_index, path, bad_rows, left):
            yield block
            left -= block.num_rows if source.limit_rows else 0
        if fingerprint_of(found) != before:
            raise UserError(f"{path} changed while it was read; start again when it is complete")
        if source.limit_rows and not left:
            return


def fingerprint_of(file: DataFile) -> str:
    """What changes when the file does; a table's is that of its cells.

    Raises:
        UserError: the file is absent or may not be read.
    """
    return file.fingerprint if isinstance(file, MemoryTable) else storage.fingerprint(file)


def _open(source: Source, path: DataFile) -> RowsFile:
    if isinstance(path, MemoryTable):
        return TableFile(path, source.columns)
    found = format_of(path, source.format)
    if found == "parquet":
        return ParquetFile(path, source.columns)
    if found == "tfrecord" and source.open_tfrecord is not None:
        return source.open_tfrecord(path, source.columns)
    csv_format = CsvFormat(
        source.column_names, source.delimiter, source.null_values, source.decimal_point
    )
    return CsvFile(path, csv_format, source.columns)


def _read_file(
    file: RowsFile, file_index: int, path: str, bad_rows: BadRows, limit: int
) -> Iterator[Block]:
    """Blocks of one file, up to `limit` rows where it is not 0."""
    if not file.has_rows:
        _logger.warning("%s has no rows", path)
    num_records = num_good = 0
    for rows in file.read():
        numbers, columns, problems = rows.row_numbers, rows.columns, rows.problems
        if limit and num_good + len(numbers) >= limit:
            numbers = numbers[: limit - num_good]
            columns = {name: column.slice(0, len(numbers)) for name, column in columns.items()}
            # Rows after the last one that is used are not looked at.
            problems = [problem for problem in problems if problem.row < numbers[-1]]
        bad_rows.record(path, problems, first_row=num_records + file.has_header)
        if len(numbers):
            yield Block(file_index, numbers + num_records, columns)
        num_good += len(numbers)
        num_records += rows.num_records
        if limit and num_good >= limit:
            return


def _check_names(
    path: str, names: tuple[str, ...], first: tuple[str, ...] | None, source: Source
) -> tuple[str, ...]:
    """Compare the columns of a file with those of the first; their order may differ."""
    if first is None:
        declared = {column.name for column in source.columns}
        _log_ignored(tuple(name for name in names if name not in declared))
        return names
    if set(names) != set(first):
        differing = listed(sorted(set(names) ^ set(first)))
        raise UserError(
            f"{path} has other columns than {source.files[0]}, differing in {differing}; "
            "all files of a set must have the same"
        )
    return first


@functools.cache  # once a process, not once an epoch
def _log_ignored(names: tuple[str, ...]) -> None:
    if names:
        _logger.info("columns that the schema does not declare are ignored: %s", ", ".join(names))
