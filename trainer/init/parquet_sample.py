"""Rows of Parquet files to judge a table by, from evenly spaced row groups, as text.

Imports table_sample, csv_places, cells, parquet_files, storage, errors and Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainer import storage
from trainer.cells import ReadColumn
from trainer.errors import UserError
from trainer.init.csv_places import MOST_FILES, PLACES, check_same, spread
from trainer.init.table_sample import TableSample, within_cells
from trainer.parquet_files import cast_column

_BATCH_ROWS = 2048


def sample_parquet(files: Sequence[str], num_rows: int) -> TableSample:
    """Up to `num_rows` rows of Parquet files; texts as the trainer makes them.

    Raises:
        UserError: a file is no Parquet, or has other columns than the first.
    """
    opened = [_open_parquet(path) for path in spread(files, MOST_FILES)]
    schema = opened[0].schema_arrow
    for path, file in zip(spread(files, MOST_FILES), opened, strict=True):
        check_same(path, file.schema_arrow.names, files[0], schema.names)
    names = list(schema.names)
    num_rows = within_cells(num_rows, len(names))
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
