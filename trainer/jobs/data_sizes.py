"""How large the rows and the tables of a run become, by its config and the heads of its files."""

from __future__ import annotations

import zlib
from typing import Any

from trainer import storage
from trainer.bag_columns import MOST_AUTO_TOKENS, MOST_AUTO_VALUES
from trainer.column_base import embedding_width
from trainer.columns import (
    Boolean,
    Bucketized,
    Categorical,
    Datetime,
    Geo,
    Identity,
    MultiHot,
    Numeric,
    Text,
    Vector,
    VocabularyColumn,
)
from trainer.config import Config
from trainer.data_files import format_of

_HEAD_BYTES = 256 * 1024
_MOST_SIZED_FILES = 20
# Bytes of a weight: itself and two slots of its optimizer, float32.
_BYTES_PER_WEIGHT = 12


def row_bytes(config: Config) -> int:
    """Bytes of an encoded row: 4 for each id and number, for labels and weight.

    Indicators of missing values and zeros, which depend on the data, are left out; columns of
    several values count with the most that they may have.
    """
    label = config.label
    num_labels = len(label.columns) or (len(label.classes) if label.task == "multilabel" else 1)
    words = max(1, num_labels) + 1 + len(config.crosses)
    for column in config.columns.values():
        if isinstance(column, Numeric | Vector):
            size = column.size if isinstance(column, Vector) else 1
            words += size * (1 + (column.buckets != 0))
        elif isinstance(column, Datetime):
            words += len(column.parts) + 2 * len(column.cyclic)
            words += len(column.numbers) * (1 + (column.numeric.buckets != 0))
        elif isinstance(column, Geo):
            words += len(column.outputs) * (1 + (column.numeric.buckets != 0))
        elif isinstance(column, MultiHot):
            words += MOST_AUTO_VALUES if column.max_values == "auto" else column.max_values
        elif isinstance(column, Text):
            words += MOST_AUTO_TOKENS if column.max_tokens == "auto" else column.max_tokens
        elif isinstance(column, Categorical | Identity | Boolean | Bucketized):
            words += 1
    return 4 * words


def table_bytes(config: Config) -> int:
    """Bytes of the tables whose size the config states, with their optimizers' slots."""
    sizes: list[tuple[int, Any, tuple[str, ...]]] = [
        (cross.bins, cross.embedding_dim, cross.towers) for cross in config.crosses
    ]
    for column in config.columns.values():
        if isinstance(column, VocabularyColumn):
            size = (column.hash_buckets or 0) + column.oov_buckets
            sizes.append((size, column.embedding_dim, column.towers))
        elif isinstance(column, Text):
            sizes.append((column.hash_buckets, column.embedding_dim, column.towers))
        elif isinstance(column, Identity):
            sizes.append((column.size, column.embedding_dim, column.towers))
    total = 0
    for size, dim, towers in sizes:
        width = embedding_width(size, dim, config.model.embedding_dim)
        total += size * _BYTES_PER_WEIGHT * ("wide" in towers)
        total += size * _BYTES_PER_WEIGHT * width * ("deep" in towers)
    return total


def estimate_rows(files: list[str]) -> int:
    """Rows of some files: Parquet says it, CSV by the length of the first rows."""
    some = files[:_MOST_SIZED_FILES]
    if not some:
        return 0
    return round(sum(_rows_of(file) for file in some) * len(files) / len(some))


def _rows_of(file: str) -> float:
    with storage.open_read(file) as stream:
        if format_of(file, "auto") == "parquet":
            from pyarrow import parquet

            return float(parquet.ParquetFile(stream).metadata.num_rows)
        head = stream.read(_HEAD_BYTES)
    read = len(head)
    if head[:2] == b"\x1f\x8b":
        head = zlib.decompressobj(wbits=31).decompress(head)
    size = int(storage.fingerprint(file).partition("-")[0])
    is_records = format_of(file, "auto") == "tfrecord"
    num_rows = _num_records(head) if is_records else head.count(b"\n")
    return num_rows * size / max(read, 1)


def _num_records(head: bytes) -> float:
    """TFRecords in the first bytes of a file, the last of them in part."""
    num_records, start = 0, 0
    while start + 8 <= len(head):
        # The length, its checksum, as many bytes, their checksum. Source: TensorFlow's manual.
        length = int.from_bytes(head[start : start + 8], "little") + 16
        if start + length > len(head):
            return num_records + (len(head) - start) / length
        start, num_records = start + length, num_records + 1
    return num_records
