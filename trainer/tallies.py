"""Running sums that merge: moments of a number, counts of tokens, lengths of bags.

Imports sampling, numpy and Arrow only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.sampling import Floats

# Token counts of the blocks are summed up once so many (token, count) pairs wait.
MAX_PENDING_TOKENS = 1_000_000
# Rows of that many values and more count as of one length.
LONGEST_BAG = 4096


@dataclass
class Moments:
    """Count, extremes and central power sums: `sum_p` is the sum of (x - mean)^p."""

    count: int = 0
    missing: int = 0
    zeros: int = 0
    minimum: float = np.inf
    maximum: float = -np.inf
    mean: float = 0.0
    sum_2: float = 0.0
    sum_3: float = 0.0
    sum_4: float = 0.0

    @classmethod
    def of(cls, values: Floats, num_missing: int) -> Moments:
        """The moments of finite values, and the count of rows that have none."""
        if not len(values):
            return cls(missing=num_missing)
        mean = float(values.mean())
        deviation = values - mean
        squared = deviation * deviation
        return cls(
            count=len(values),
            missing=num_missing,
            zeros=len(values) - int(np.count_nonzero(values)),
            minimum=float(values.min()),
            maximum=float(values.max()),
            mean=mean,
            sum_2=float(squared.sum()),
            # Not `@`: BLAS would start threads here (11 ms instead of 3 us a block, beside a busy
            # reader), and its sum depends on their number.
            sum_3=float(np.einsum("i,i", squared, deviation)),
            sum_4=float(np.einsum("i,i", squared, squared)),
        )

    def add(self, values: Floats, num_missing: int) -> None:
        """Take in finite values, and the count of rows that have none."""
        self.merge(Moments.of(values, num_missing))

    def merge(self, other: Moments) -> None:
        """Take in what `other` summed up.

        Source: Pebay 2008, "Formulas for robust, one-pass parallel computation", section 2.
        """
        self.missing += other.missing
        n, m = self.count, other.count
        if not m:
            return
        total, delta = n + m, other.mean - self.mean
        step = delta / total
        self.sum_4 += other.sum_4 + delta * step**3 * n * m * (n * n - n * m + m * m)
        self.sum_4 += 6 * step**2 * (n * n * other.sum_2 + m * m * self.sum_2)
        self.sum_4 += 4 * step * (n * other.sum_3 - m * self.sum_3)
        self.sum_3 += other.sum_3 + delta * step**2 * n * m * (n - m)
        self.sum_3 += 3 * step * (n * other.sum_2 - m * self.sum_2)
        self.sum_2 += other.sum_2 + delta * step * n * m
        self.mean += step * m
        self.count = total
        self.zeros += other.zeros
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)


class BlockCounts(NamedTuple):
    """How often tokens occur in a block; a token may stand in the table more than once."""

    table: pa.Table  # token: string, none of them ""; count: int64
    missing: int


def count_tokens(column: Any) -> list[BlockCounts]:
    """Counts of Arrow strings, plain or dictionary-encoded, chunk by chunk."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return [_count_tokens(chunk) for chunk in chunks]


def _count_tokens(column: pa.Array) -> BlockCounts:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    ids = column.indices.drop_null().to_numpy()
    counts = np.bincount(ids, minlength=len(column.dictionary))
    is_token = pc.fill_null(pc.not_equal(column.dictionary, ""), False)
    used = np.flatnonzero(is_token.to_numpy(zero_copy_only=False) & (counts > 0))
    tokens = column.dictionary.take(pa.array(used)).cast(pa.string())
    table = pa.table({"token": tokens, "count": counts[used]})
    return BlockCounts(table, missing=len(column) - int(counts[used].sum()))


@dataclass
class TokenCounts:
    """How often each token occurs; null and "" are missing."""

    missing: int = 0
    _pending: list[pa.Table] = field(default_factory=list)
    _num_pending: int = 0

    def add(self, column: Any) -> None:
        """Take in an Arrow array of strings, plain or dictionary-encoded."""
        for counts in count_tokens(column):
            self.take(counts)

    def take(self, counts: BlockCounts) -> None:
        """Take in the counts of a block."""
        self.missing += counts.missing
        self._append(counts.table)

    def merge(self, other: TokenCounts) -> None:
        """Take in what `other` counted."""
        self.missing += other.missing
        self._append(other._compacted())

    def sorted_pairs(self) -> tuple[tuple[str, int], ...]:
        """All tokens with their counts, by count, falling, then by token."""
        table = self._compacted().sort_by([("count", "descending"), ("token", "ascending")])
        return tuple(zip(table["token"].to_pylist(), table["count"].to_pylist(), strict=True))

    def _append(self, table: pa.Table) -> None:
        self._pending.append(table)
        self._num_pending += table.num_rows
        if self._num_pending > MAX_PENDING_TOKENS:
            # What is left after the sum must not count against the next one, or a large
            # vocabulary would be summed up again at each block.
            self._pending, self._num_pending = [self._compacted()], 0

    def _compacted(self) -> pa.Table:
        empty = pa.table({"token": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
        table = pa.concat_tables([empty, *self._pending])
        grouped = table.group_by("token").aggregate([("count", "sum")])
        return grouped.rename_columns(
            ["count" if name == "count_sum" else name for name in grouped.column_names]
        )


class Bag(NamedTuple):
    """The values of a column that has several in a row, text by text.

    num_rows: (V,) rows of the block that have the text.
    lengths: (V,) values that it has.
    values: Arrow strings, those of one text after those of the other; None where they are not
        counted.
    """

    num_rows: np.ndarray
    lengths: np.ndarray
    values: pa.Array | None


class BagSummary(NamedTuple):
    """A block's share of `BagCounts`."""

    lengths: np.ndarray
    tokens: BlockCounts | None


def summarize_bag(bag: Bag) -> BagSummary:
    """How many rows have how many values, and how often each value occurs."""
    lengths = np.bincount(np.minimum(bag.lengths, LONGEST_BAG), weights=bag.num_rows)
    if bag.values is None:
        return BagSummary(lengths.astype(np.int64), None)
    encoded = bag.values.dictionary_encode()
    counts = np.bincount(
        encoded.indices.to_numpy(),
        weights=np.repeat(bag.num_rows, bag.lengths),
        minlength=len(encoded.dictionary),
    )
    table = pa.table({"token": encoded.dictionary, "count": counts.astype(np.int64)})
    return BagSummary(lengths.astype(np.int64), BlockCounts(table, missing=0))


@dataclass
class BagCounts:
    """How many rows have 0, 1, 2, ... values, and how often each value occurs."""

    tokens: TokenCounts = field(default_factory=TokenCounts)
    _lengths: np.ndarray = field(default_factory=lambda: np.zeros(LONGEST_BAG + 1, np.int64))

    def take(self, summary: BagSummary) -> None:
        """Take in what a block has."""
        self._lengths[: len(summary.lengths)] += summary.lengths
        if summary.tokens is not None:
            self.tokens.take(summary.tokens)

    def merge(self, other: BagCounts) -> None:
        """Take in what `other` counted."""
        self._lengths += other._lengths
        self.tokens.merge(other.tokens)

    def lengths(self) -> tuple[int, ...]:
        """Rows with 0, 1, 2, ... values, up to the largest number; LONGEST_BAG stands for more."""
        return tuple(np.trim_zeros(self._lengths, "b").tolist())
