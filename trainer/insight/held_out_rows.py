"""One pass over the raw rows of the held-out parts: their statistics, and a sample of rows.

Axes: R sampled rows, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from trainer.blocks import DataPart
from trainer.data_files import Part
from trainer.datasets import Datasets
from trainer.reader import Block
from trainer.sampling import splitmix64
from trainer.splits import row_ids
from trainer.statistics import TableStatistics

# Of each part; more say nothing new of a column, and are read at a million a second or two.
MOST_ROWS = 1_000_000
# About as many rows are sampled: an error of a mean of 2% of a standard deviation.
SAMPLE_ROWS = 2048
# Another hash than those of splits and statistics.
_SAMPLE = np.uint64(0x73616D706C65)


class RawRows(NamedTuple):
    """R rows: raw columns by name, labels (R, L) and weight (R,), both float32."""

    columns: dict[str, pa.Array]
    labels: np.ndarray
    weight: np.ndarray

    def spread(self, most: int) -> RawRows:
        """At most so many of them, evenly spread: their order may be that of time or label."""
        num_rows = len(self.weight)
        if num_rows <= most:
            return self
        places = np.arange(most) * num_rows // most
        columns = {name: column.take(pa.array(places)) for name, column in self.columns.items()}
        return RawRows(columns, self.labels[places], self.weight[places])


class HeldOut(NamedTuple):
    """What was read of the held-out parts.

    statistics: of each part there is. sample: of `sampled`: test, else validation, else the
    training rows.
    """

    statistics: dict[Part, TableStatistics]
    sampled: Part
    sample: RawRows


def read_held_out(datasets: Datasets, seed: int) -> HeldOut:
    """Read each held-out part once; the same rows are sampled for the same seed and files."""
    statistics: dict[Part, TableStatistics] = {}
    samples: dict[Part, RowSampler] = {}
    names: list[Part] = [n for n in ("validation", "test") if n in datasets.parts]
    for name in names or ["train"]:
        part = datasets.parts[name]
        num_rows = min(datasets.stores[name].num_rows, MOST_ROWS)
        samples[name] = RowSampler(part, SAMPLE_ROWS / max(1, num_rows), seed)
        found = part.statistics(samples[name].watch(_first_rows(part, MOST_ROWS)))
        if names:
            statistics[name] = found
    sampled: Part = "test" if "test" in samples else next(iter(samples))
    return HeldOut(statistics, sampled, samples[sampled].rows())


class RowSampler:
    """A share of the rows that go by, chosen by a hash of their place."""

    def __init__(self, part: DataPart, share: float, seed: int):
        """Take the part that knows labels and weights of its blocks."""
        self._part, self._share = part, share
        self._salt = splitmix64(np.array([seed], np.uint64))[0] ^ _SAMPLE
        self._pieces: list[RawRows] = []

    def watch(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks themselves, whose rows are sampled on their way."""
        for block in blocks:
            hashes = splitmix64(row_ids(block) ^ self._salt)
            rows = np.flatnonzero(hashes < self._share * 2.0**64)
            columns = {name: c.take(pa.array(rows)) for name, c in block.columns.items()}
            self._pieces.append(
                RawRows(columns, self._part.labels(block)[rows], self._part.weight(block)[rows])
            )
            yield block

    def rows(self) -> RawRows:
        """All sampled rows, in the order in which they came."""
        columns = {
            name: pa.chunked_array([p.columns[name] for p in self._pieces]).combine_chunks()
            for name in self._pieces[0].columns
        }
        return RawRows(
            columns,
            np.concatenate([piece.labels for piece in self._pieces]),
            np.concatenate([piece.weight for piece in self._pieces]),
        )


def _first_rows(part: DataPart, num_rows: int) -> Iterator[Block]:
    """Blocks of a part, until they have so many rows."""
    for block in part.blocks():
        if block.num_rows:
            yield block
        num_rows -= block.num_rows
        if num_rows <= 0:
            return
