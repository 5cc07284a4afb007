"""Blocks of one data set: read once where they fit, split by hash, encoded and packed.

Sits between `reader.py`, which knows files, and `rows.py`, which keeps encoded rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.bag_encoders import BagSplitter
from trainer.columns import BAG_KINDS
from trainer.config import Config
from trainer.data_config import DataConfig
from trainer.data_files import Part
from trainer.features import FeatureEncoder, geo_numbers, read_columns
from trainer.memory_tables import DataFile
from trainer.parallel import map_in_order
from trainer.reader import BadRows, Block, Source, read_blocks
from trainer.row_stores import MEGABYTE
from trainer.rows import pack_rows
from trainer.sampling import splitmix64
from trainer.schema import Schema
from trainer.statistics import StatisticsBuilder, Summary, TableStatistics


class BlockReader:
    """The blocks of a set of files, any number of times.

    The first pass keeps the blocks while they fit `retain_bytes`, so that statistics and encoding
    together parse every byte once.
    """

    def __init__(self, source: Source, *, max_bad_rows: int, retain_bytes: int = 0):
        """Take a source; nothing is read yet."""
        self.source = source
        # With limit_rows the set is read as one unit, or files in another order would change it.
        self.units = [source.files] if source.limit_rows else [(file,) for file in source.files]
        self._max_bad_rows = max_bad_rows
        self._bad_rows: dict[int, tuple[int, list[str]]] = {}
        self._retain_bytes = retain_bytes
        self._retained: list[list[Block]] | None = None

    def read(self, units: Sequence[int] | None = None) -> Iterator[Block]:
        """Blocks of the given units (all, in order, when not given).

        Raises:
            UserError: a file cannot be read, or more rows are bad than `max_bad_rows`.
        """
        if self._retained is not None:
            for unit in range(len(self.units)) if units is None else units:
                yield from self._retained[unit]
            return
        retained: list[list[Block]] | None = [[] for _ in self.units] if units is None else None
        num_bytes = 0
        for unit in range(len(self.units)) if units is None else units:
            source = dataclasses.replace(self.source, files=self.units[unit])
            self._bad_rows.pop(unit, None)
            bad_rows = self.bad_rows
            count, num_examples = bad_rows.count, len(bad_rows.examples)
            for block in read_blocks(source, bad_rows):
                block = block._replace(file_index=block.file_index + unit)
                if retained is not None:
                    num_bytes += sum(column.nbytes for column in block.columns.values())
                    retained[unit].append(block)
                    if num_bytes > self._retain_bytes:
                        retained = None
                yield block
            self._bad_rows[unit] = (bad_rows.count - count, bad_rows.examples[num_examples:])
        if units is None:
            self._retained = retained

    @property
    def bad_rows(self) -> BadRows:
        """The account of the files that were read so far, each file once."""
        total = BadRows(self._max_bad_rows)
        for count, examples in self._bad_rows.values():
            total.count += count
            total.examples += examples
        return total

    def release(self) -> None:
        """Forget the blocks that were kept."""
        self._retained, self._retain_bytes = None, 0


class Split(NamedTuple):
    """Share of the rows by hash: those whose bucket is in [low, high) of `modulus` buckets."""

    column: str | None
    low: int
    high: int
    modulus: int

    def mask(self, block: Block) -> np.ndarray:
        """(B,) bool: the rows of the block that belong to this share.

        The bucket is MOD(ABS(FARM_FINGERPRINT(column)), modulus), as BigQuery computes it; without
        a column, a hash of the row's place in its file.
        """
        if self.column is None:
            buckets = (splitmix64(row_ids(block)) % np.uint64(self.modulus)).astype(np.int64)
        else:
            buckets = fingerprint_buckets(block.columns[self.column], self.modulus)
        return (buckets >= self.low) & (buckets < self.high)


def fingerprint_buckets(texts: pa.Array, modulus: int) -> np.ndarray:
    """(B,) int64 MOD(ABS(FARM_FINGERPRINT(text)), modulus); null counts as ''.

    Source: BigQuery's FARM_FINGERPRINT is the signed 64-bit FarmHash Fingerprint64, which is what
    tf.fingerprint gives in little-endian bytes.
    """
    objects = np.asarray(pc.fill_null(texts, "").to_numpy(zero_copy_only=False), object)
    prints = tf.fingerprint(tf.constant(objects, tf.string)).numpy()
    signed = np.ascontiguousarray(prints).view("<i8").reshape(-1)
    # ABS of the smallest int64 overflows in BigQuery too; as uint64 it is its magnitude.
    return (np.abs(signed).view(np.uint64) % np.uint64(modulus)).astype(np.int64)


def splits_of(data: DataConfig) -> dict[Part, Split]:
    """Shares of the training files: train first, then validation, then test; {} if not split."""
    if not (data.validation_fraction or data.test_fraction):
        return {}
    modulus = data.split_modulus
    test_from = modulus - round(data.test_fraction * modulus)
    validation_from = test_from - round(data.validation_fraction * modulus)
    bounds: dict[Part, tuple[int, int]] = {"train": (0, validation_from)}
    if data.validation_fraction:
        bounds["validation"] = (validation_from, test_from)
    if data.test_fraction:
        bounds["test"] = (test_from, modulus)
    return {part: Split(data.split_column, *ends, modulus) for part, ends in bounds.items()}


def row_ids(block: Block) -> np.ndarray:
    """(B,) uint64 that name each row of a data set: the file's number, then the row's in it."""
    return (np.uint64(block.file_index) << np.uint64(40)) + block.row_numbers.astype(np.uint64)


class DataPart:
    """One part of the data: its blocks, after the split."""

    def __init__(self, reader: BlockReader, schema: Schema, split: Split | None = None):
        """Take the rows of `reader` that belong to `split`, or all."""
        self.reader = reader
        self._schema = schema
        self._split = split

    def blocks(self, units: Sequence[int] | None = None) -> Iterator[Block]:
        """Blocks of this part, without rows of weight 0; a block may be empty."""
        return map(self._own_rows, self.reader.read(units))

    def _own_rows(self, block: Block) -> Block:
        kept = np.ones(block.num_rows, bool) if self._split is None else self._split.mask(block)
        kept &= self.weight(block) > 0
        if kept.all():
            return block
        rows = np.flatnonzero(kept)
        return Block(
            block.file_index,
            block.row_numbers[rows],
            {name: column.take(pa.array(rows)) for name, column in block.columns.items()},
        )

    def label(self, block: Block) -> np.ndarray:
        """(B,) float32 label."""
        column = block.columns[self._schema.label.column]
        if self._schema.label.positive is None:
            return column.to_numpy(zero_copy_only=False)
        return (
            pc.equal(_plain(column), self._schema.label.positive)
            .to_numpy(zero_copy_only=False)
            .astype(np.float32)
        )

    def weight(self, block: Block) -> np.ndarray:
        """(B,) float32 weight; ones without a weight column."""
        if self._schema.weight is None:
            return np.ones(block.num_rows, np.float32)
        return block.columns[self._schema.weight].to_numpy(zero_copy_only=False)

    def statistics(self) -> TableStatistics:
        """One pass over the blocks."""
        schema = self._schema
        raw_numbers = [c.name for c in schema.feature_inputs if c.dtype == "float"]
        geo_names = [name for name in schema.numeric_features if name not in schema.columns]
        splitters = {n: BagSplitter(n, column) for n, column in schema.of_kind(*BAG_KINDS).items()}
        builder = StatisticsBuilder(
            numbers=[*raw_numbers, *geo_names],
            categories=schema.counted_columns,
            bags=tuple(splitters),
            label=schema.label.column,
        )
        # One graph: op by op, the geography took 0.8 of 2.0 us a row.
        compute_geo = tf.function(
            lambda numbers: geo_numbers(schema, numbers), reduce_retracing=True, autograph=False
        )

        def summarize(read: Block) -> Summary:
            block = self._own_rows(read)
            columns: dict[str, Any] = {
                name: block.columns[name].to_numpy(zero_copy_only=False) for name in raw_numbers
            }
            if geo_names:
                numbers = {name: tf.constant(values) for name, values in columns.items()}
                columns |= {name: value.numpy() for name, value in compute_geo(numbers).items()}
            columns |= {name: block.columns[name] for name in schema.counted_columns}
            columns |= {name: split(block.columns) for name, split in splitters.items()}
            columns[schema.label.column] = self.label(block)
            return builder.summarize(columns, row_ids(block), self.weight(block))

        for summary in map_in_order(summarize, self.reader.read()):
            builder.take(summary)
        return builder.finalize()

    def sample(self, num_rows: int) -> tuple[list[dict[str, object]], dict[str, pa.Array]]:
        """The first rows, as instances of a prediction request and as columns of a block."""
        names = [c.name for c in self._schema.feature_inputs]
        if self._schema.key is not None:
            names.append(self._schema.key)
        pieces = []
        for block in self.blocks():
            pieces.append(pa.table({name: _plain(block.columns[name]) for name in names}))
            if sum(len(piece) for piece in pieces) >= num_rows:
                break
        table = pa.concat_tables(pieces)[:num_rows].combine_chunks()
        columns = {name: table.column(name).combine_chunks() for name in names}
        instances = table.to_pylist()
        return instances, columns

    def packed(self, encoder: FeatureEncoder) -> Callable[[Sequence[int]], Iterator[np.ndarray]]:
        """`read(units)`: the packed rows of each block, as `rows.store_rows` needs it."""

        def pack(read: Block) -> np.ndarray:
            block = self._own_rows(read)
            ids, numbers = encoder.encode_block(block.columns)
            return pack_rows(ids, numbers, self.label(block), self.weight(block))

        return lambda units: map_in_order(pack, self.reader.read(units))


def open_parts(config: Config, files: dict[Part, tuple[DataFile, ...]]) -> dict[Part, DataPart]:
    """A reader for each file set, and each part's share of it."""
    data = config.data
    columns = read_columns(config)
    readers = {
        name: BlockReader(
            Source(
                files=paths,
                format=data.format,
                column_names=data.column_names,
                delimiter=data.delimiter,
                null_values=data.null_values,
                columns=columns,
                limit_rows=data.limit_rows,
            ),
            max_bad_rows=data.max_bad_rows,
            retain_bytes=data.memory_budget_mb * MEGABYTE // 2,
        )
        for name, paths in files.items()
    }
    parts = {name: DataPart(reader, config) for name, reader in readers.items()}
    for name, split in splits_of(data).items():
        parts[name] = DataPart(readers["train"], config, split)
    return parts


def _plain(column: pa.Array) -> pa.Array:
    """A dictionary column as the strings that it stands for."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
