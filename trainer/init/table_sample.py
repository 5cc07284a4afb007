"""Rows to judge a table by, as text: all of a small one, of a large one from many places.

The same files give the same rows. Imports csv_dialect, csv_places, csv_records, sampling, errors,
numpy and Arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trainer.csv_records import last_record_end
from trainer.errors import UserError
from trainer.init.csv_dialect import CsvDialect, Given, detect_dialect
from trainer.init.csv_places import (
    HEAD_BYTES,
    Piece,
    chunks_of,
    parse,
    places_of,
    read_head,
    without_header,
)
from trainer.sampling import splitmix64

# Texts that are held: 20 million short ones take about 1 GB.
MOST_CELLS = 20_000_000


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
    head = read_head(files[0])
    dialect = detect_dialect(files[0], head, is_cut=len(head) >= HEAD_BYTES, given=given)
    num_rows = within_cells(num_rows, len(dialect.names))
    row_bytes = _mean_row_bytes(files[0], head, dialect)
    reader = chunks_of if any(f.endswith(".gz") for f in files) else places_of
    found = reader(files, dialect, round(num_rows * row_bytes))
    tables = [parse(piece, dialect) for piece in found.pieces]
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


def within_cells(num_rows: int, num_columns: int) -> int:
    """So many rows, fewer where they have very many columns."""
    return max(1, min(num_rows, MOST_CELLS // num_columns))


def _mean_row_bytes(path: str, head: bytes, dialect: CsvDialect) -> float:
    records = without_header(path, head, dialect)
    records = records[: last_record_end(records, dialect.delimiter) or len(records)]
    table, num_misfits = parse(Piece(path, records), dialect)
    return len(records) / max(1, len(table) + num_misfits)


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
