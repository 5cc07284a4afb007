"""Tables that the caller has in memory, where a run otherwise has files.

Imports errors and Arrow; pandas is not imported, its tables bring it along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from trainer.errors import UserError

TABLE_PREFIX = "table:"
# As many as a batch of Parquet, so that a table gives the very blocks of a file of its rows.
BATCH_ROWS = 65_536


class MemoryTable(NamedTuple):
    """A table in the place of a file.

    Attributes:
        name: what messages and the run's config call it, e.g. table:train.
        table: its rows, an Arrow table.
        fingerprint: a hash of its columns and cells.
        index_names: of the index of a DataFrame, which is no column.
    """

    name: str
    table: pa.Table
    fingerprint: str
    index_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def batches(self) -> Iterator[pa.RecordBatch]:
        """BATCH_ROWS rows each, wherever the table's own chunks end."""
        return _batches(self.table)


# What a set of rows is read from: the path of a file, or a table.
DataFile = str | MemoryTable


def memory_table(name: str, table: Any) -> MemoryTable:
    """A pandas DataFrame, or an Arrow table or record batch, as a source of rows.

    The index of a DataFrame is no column. NaN in it is a missing value; an interval, as of
    `pandas.cut`, or a period is its text.

    Args:
        name: for messages.
        table: the rows; neither changed nor copied where Arrow can read them in place.

    Raises:
        UserError: it is no such table, a column mixes types, or two have one name.
    """
    index_names: tuple[str, ...] = ()
    try:
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        elif not isinstance(table, pa.Table) and hasattr(table, "iloc") and table.ndim == 2:
            index_names = tuple(str(name) for name in table.index.names if name is not None)
            table = pa.Table.from_pandas(_with_texts(table), preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        is_mixed = "Could not convert" in reason
        advice = '. A column of one type is made by astype("string") and the like' * is_mixed
        raise UserError(f"{name} is no table that Arrow can read: {reason}{advice}") from error
    if not isinstance(table, pa.Table):
        raise UserError(
            f"{name} must be a pandas DataFrame or an Arrow table; received "
            f"{type(table).__name__}. pandas.DataFrame(...) makes one of rows or columns"
        )
    # What pandas notes about its index does not make another table.
    table = table.replace_schema_metadata(None)
    return MemoryTable(name, table, _fingerprint(table), index_names)


def _with_texts(frame: Any) -> Any:
    """A DataFrame with texts for intervals and periods, which Arrow has as structures or counts."""
    kinds = {
        name: str(getattr(getattr(dtype, "categories", None), "dtype", dtype))
        for name, dtype in frame.dtypes.items()
    }
    odd = [name for name, kind in kinds.items() if kind.startswith(("interval", "period"))]
    frame = frame.copy(deep=False) if odd else frame
    for name in odd:
        # As to_csv writes them.
        frame[name] = frame[name].map(str, na_action="ignore")
    return frame


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    for start in range(0, table.num_rows, BATCH_ROWS):
        piece = table.slice(start, BATCH_ROWS)
        # A copy, also of one chunk: bits beyond a slice's ends would change the fingerprint.
        columns = [column.combine_chunks() for column in piece.columns]
        yield pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _fingerprint(table: pa.Table) -> str:
    """32 hexadecimal digits of a table's names, types and cells, however it is cut into chunks."""
    digest = hashlib.sha256(table.schema.serialize())
    for batch in _batches(table):
        digest.update(batch.serialize())
    return digest.hexdigest()[:32]
