"""Blocks of one data set: read once where they fit, split by hash, encoded and packed.

Sits between `reader.py`, which knows files, and `rows.py`, which keeps encoded rows.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from trainer.cells import Problem
from trainer.column_summaries import ColumnSummaries
from trainer.config import Config
from trainer.data_config import DataConfig
from trainer.data_files import Part, format_of
from trainer.features import FeatureEncoder
from trainer.input_columns import read_columns
from trainer.labels import LabelEncoder, with_classes
from trainer.memory_tables import DataFile
from trainer.parallel import map_in_order
from trainer.reader import BadRows, Block, ReadColumn, Source, read_blocks
from trainer.row_stores import MEGABYTE
from trainer.rows import pack_rows
from trainer.schema import Schema
from trainer.splits import KeptNegatives, Split, row_ids, splits_of
from trainer.statistics import Summary, TableStatistics
from trainer.tfrecord_files import TFRecordFile


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
        self._refused: set[tuple[int, int]] = set()
        self._refused_examples: list[str] = []
        self._lock = threading.Lock()
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
        total.count += len(self._refused)
        total.examples += self._refused_examples
        return total

    def refuse(self, block: Block, problems: Sequence[Problem]) -> None:
        """Count rows of a block that were read as good ones, each once. Any thread may call it.

        Raises:
            UserError: more rows are bad than `max_bad_rows`.
        """
        file = self.source.files[block.file_index]
        with self._lock:
            new = [
                problem._replace(row=number)
                for problem in problems
                if (block.file_index, number := int(block.row_numbers[problem.row]))
                not in self._refused
            ]
            bad_rows = self.bad_rows
            num_examples = len(bad_rows.examples)
            bad_rows.record(str(file), new, first_row=int(_has_header(self.source, file)))
            self._refused |= {(block.file_index, problem.row) for problem in new}
            self._refused_examples += bad_rows.examples[num_examples:]

    def release(self) -> None:
        """Forget the blocks that were kept."""
        self._retained, self._retain_bytes = None, 0


class DataPart:
    """One part of the data: its blocks, after the split."""

    def __init__(
        self,
        reader: BlockReader,
        schema: Schema,
        split: Split | None = None,
        negative_keep: float = 1.0,
    ):
        """Take the rows of `reader` that belong to `split`, or all; of negatives only a share."""
        self.reader = reader
        self._schema = schema
        self._split = split
        self._negatives = KeptNegatives(negative_keep)
        self._labels = LabelEncoder(schema.label)

    def know_classes(self, statistics: TableStatistics) -> None:
        """From now on a row of a class that the training rows do not have is a bad row."""
        self._labels = LabelEncoder(self._schema.label, [name for name, _ in statistics.classes])

    def blocks(self, units: Sequence[int] | None = None) -> Iterator[Block]:
        """Blocks of this part, without rows of weight 0; a block may be empty."""
        return map(self._own_rows, self.reader.read(units))

    def _own_rows(self, block: Block) -> Block:
        kept = np.ones(block.num_rows, bool) if self._split is None else self._split.mask(block)
        kept &= self.weight(block) > 0
        if problems := [p for p in self._labels.problems(block.columns) if kept[p.row]]:
            self.reader.refuse(block, problems)
            kept[[p.row for p in problems]] = False
        if self._negatives.rate < 1:
            kept &= self._negatives.mask(block, self.labels(block)[:, 0])
        if kept.all():
            return block
        rows = np.flatnonzero(kept)
        return Block(
            block.file_index,
            block.row_numbers[rows],
            {name: column.take(pa.array(rows)) for name, column in block.columns.items()},
        )

    @property
    def num_labels(self) -> int:
        """L."""
        return self._labels.num_labels

    def labels(self, block: Block) -> np.ndarray:
        """(B, L) float32 labels of a block of this part, as they are learned."""
        return self._labels.encode(block.columns)

    def weight(self, block: Block) -> np.ndarray:
        """(B,) float32 weight, 1 without a weight column; kept negatives stand for the others."""
        weight = np.ones(block.num_rows, np.float32)
        if self._schema.weight is not None:
            weight = block.columns[self._schema.weight].to_numpy(zero_copy_only=False)
        if self._negatives.rate < 1:
            weight = weight * self._negatives.factor(self.labels(block)[:, 0])
        return weight

    def statistics(self, blocks: Iterable[Block] | None = None) -> TableStatistics:
        """One pass over the blocks: all, or those of `blocks` that are given."""
        columns = ColumnSummaries(self._schema, self._labels)

        def summarize(read: Block) -> Summary:
            block = self._own_rows(read)
            return columns.summarize(block.columns, row_ids(block), self.weight(block))

        for summary in map_in_order(summarize, self.reader.read() if blocks is None else blocks):
            columns.take(summary)
        found = with_classes(self._schema.label, columns.finalize())
        if self._negatives.rate < 1 and found.label is not None:
            mean = self._negatives.true_mean(found.label.mean)
            label = dataclasses.replace(found.label, mean=mean, sd=math.sqrt(mean * (1 - mean)))
            found = dataclasses.replace(found, label=label)
        return found

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
            return pack_rows(ids, numbers, self.labels(block), self.weight(block))

        return lambda units: map_in_order(pack, self.reader.read(units))


def open_parts(config: Config, files: dict[Part, tuple[DataFile, ...]]) -> dict[Part, DataPart]:
    """A reader for each file set, and each part's share of it."""
    data = config.data
    columns = read_columns(config)
    readers = {
        name: BlockReader(
            source_of(data, paths, columns),
            max_bad_rows=data.max_bad_rows,
            retain_bytes=data.memory_budget_mb * MEGABYTE // 2,
        )
        for name, paths in files.items()
    }
    splits = splits_of(data)
    return {
        name: DataPart(
            readers["train" if name in splits else name],
            config,
            splits.get(name),
            data.negative_keep if name == "train" else 1.0,
        )
        for name in dict.fromkeys([*readers, *splits])
    }


def source_of(
    data: DataConfig, files: tuple[DataFile, ...], columns: tuple[ReadColumn, ...]
) -> Source:
    """Files that are written as the config says."""
    return Source(
        files=files,
        columns=columns,
        format=data.format,
        open_tfrecord=TFRecordFile,
        column_names=data.column_names,
        delimiter=data.delimiter,
        decimal_point=data.decimal_point,
        null_values=data.null_values,
        limit_rows=data.limit_rows,
    )


def _has_header(source: Source, file: DataFile) -> bool:
    """Whether the first line of a file is none of its rows."""
    return format_of(file, source.format) == "csv" and source.column_names is None


def _plain(column: pa.Array) -> pa.Array:
    """A dictionary column as the strings that it stands for."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
