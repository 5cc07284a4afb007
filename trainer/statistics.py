"""What the training rows look like, column by column, in one pass that merges.

`StatisticsBuilder.add` takes blocks, `merge` other builders, `finalize` gives a `TableStatistics`.
The result does not depend on how rows were cut into blocks: samples, quantiles and vocabularies
are the same, floating-point sums agree within 1e-9 relative. Must not read files and must not know
about kinds of columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from trainer.errors import UserError
from trainer.number_statistics import STRICT, Count, NotNegative, NumberStatistics
from trainer.quantiles import grid, intervals_for, values_or_grid
from trainer.sampling import DistinctSample, Floats, RowSample, UInt64s
from trainer.tallies import (
    BagCounts,
    BagSummary,
    BlockCounts,
    Moments,
    TokenCounts,
    count_tokens,
    summarize_bag,
)

# Rows of the samples, and the most values of the sample of rows, 8 bytes each: a table of more than
# 256 numbers has a smaller one.
_SAMPLE_ROWS, _SAMPLE_VALUES = 65_536, 2**24

Column = Any  # numpy or Arrow array; Arrow has no type annotations


@dataclass(frozen=True)
class BagStatistics:
    """Of a column of several values in a row: `lengths[n]` rows have n of them.

    `tokens` is () where no vocabulary is made from them.
    """

    lengths: tuple[Count, ...]
    tokens: tuple[tuple[str, Count], ...]  # by count, falling, then by token

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class TableStatistics:
    """Statistics of the training rows; `label` and `classes` are unweighted.

    `label` is None where the label is of several classes. `classes` are these with what the rows
    have of each: rows, or the sum of their probabilities; () for a number.
    """

    num_rows: Count
    mean_weight: NotNegative
    label: NumberStatistics | None
    numbers: dict[str, NumberStatistics]
    tokens: dict[str, tuple[tuple[str, Count], ...]]  # by count, falling, then by token
    missing_tokens: dict[str, Count]
    bags: dict[str, BagStatistics] = field(default_factory=dict)  # by column
    classes: tuple[tuple[str, NotNegative], ...] = ()

    __pydantic_config__ = STRICT

    def to_json(self) -> str:
        """A text with sorted keys; `from_json` gives an equal object back."""
        fields = [f"{json.dumps(name)}: {_lines(vars(self)[name])}" for name in sorted(vars(self))]
        return "{\n " + ",\n ".join(fields) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> TableStatistics:
        """The statistics that `to_json` wrote.

        Raises:
            UserError: the text is not such a JSON.
        """
        try:
            return _FROM_JSON.validate_json(text)
        except ValidationError as error:
            finding = error.errors()[0]
            where = ".".join(map(str, finding["loc"]))
            raise UserError(
                f"not a statistics.json of this trainer ({where + ': ' if where else ''}"
                f"{finding['msg']}); expected what an earlier run wrote. Leave out "
                "data.statistics_path to compute it"
            ) from error


_FROM_JSON = TypeAdapter(TableStatistics)


def _lines(value: Any) -> str:
    """JSON with a line for each key of a mapping."""
    if not isinstance(value, dict):
        # In one line: an indented one is written by Python, 5 s for 2,000 numbers instead of 0.7.
        return json.dumps(value, sort_keys=True, allow_nan=False, default=vars)
    return "{" + ",".join(f"\n  {json.dumps(k)}: {_lines(value[k])}" for k in sorted(value)) + "}"


def sample_size(num_numbers: int) -> int:
    """Rows of the samples of a table of so many numbers.

    >>> sample_size(10), sample_size(1000), sample_size(10_000)
    (65536, 16777, 4096)
    """
    return min(_SAMPLE_ROWS, max(4096, _SAMPLE_VALUES // max(1, num_numbers)))


class Summary(NamedTuple):
    """A block as a `StatisticsBuilder` takes it in, by number and by category."""

    num_rows: int
    sum_weight: float
    moments: list[Moments]
    distinct: list[UInt64s]
    rows: tuple[UInt64s, Floats]
    tokens: list[list[BlockCounts]]
    bags: list[BagSummary]


class StatisticsBuilder:
    """Collects the statistics of numbers, categories and the label, block by block."""

    def __init__(
        self,
        numbers: Sequence[str],
        categories: Sequence[str],
        label: str | None,
        sample_rows: int | None = None,
        bags: Sequence[str] = (),
    ) -> None:
        """`sample_rows` bounds both samples; results are exact up to so many rows.

        None: 65,536, of more than 256 numbers 2^24 divided by their number, at least 4,096.
        """
        if label in numbers:
            raise ValueError(f"the label {label!r} is also among the numbers")
        self._names = (*numbers, *([] if label is None else [label]))
        self._label = label
        self._num_rows = 0
        self._sum_weight = 0.0
        if sample_rows is None:
            sample_rows = sample_size(len(self._names))
        self._moments = {name: Moments() for name in self._names}
        self._distinct = {name: DistinctSample(sample_rows) for name in self._names}
        self._rows = RowSample(sample_rows, len(self._names))
        self._tokens = {name: TokenCounts() for name in categories}
        self._bags = {name: BagCounts() for name in bags}

    def add(
        self,
        columns: Mapping[str, Column],
        row_ids: UInt64s,
        weight: npt.NDArray[Any] | None = None,
    ) -> None:
        """Take a block in.

        Args:
            columns: numbers and label as (B,) floats, NaN, null and infinity meaning missing;
                categories as Arrow string or dictionary arrays, null and "" meaning missing; bags
                as `tallies.Bag`.
            row_ids: (B,) uint64, unique over all rows: they choose the sampled rows.
            weight: (B,) weights, None for 1 each.
        """
        self.take(self.summarize(columns, row_ids, weight))

    def summarize(
        self,
        columns: Mapping[str, Column],
        row_ids: UInt64s,
        weight: npt.NDArray[Any] | None = None,
    ) -> Summary:
        """What is worth taking in of a block; as `add`, for `take`.

        Any number of threads may ask; each summary has to be taken in.
        """
        values = [_to_float64(columns[name]) for name in self._names]
        moments, distinct = [], []
        for name, value in zip(self._names, values, strict=True):
            is_finite = np.isfinite(value)
            present = value if is_finite.all() else value[is_finite]
            moments.append(Moments.of(present, num_missing=len(value) - len(present)))
            distinct.append(self._distinct[name].candidates(present))
        num_rows = len(row_ids)
        return Summary(
            num_rows=num_rows,
            sum_weight=num_rows if weight is None else float(np.sum(weight, dtype=float)),
            moments=moments,
            distinct=distinct,
            rows=self._rows.candidates(np.asarray(row_ids, np.uint64), values),
            tokens=[count_tokens(columns[name]) for name in self._tokens],
            bags=[summarize_bag(columns[name]) for name in self._bags],
        )

    def take(self, summary: Summary) -> None:
        """Take in a block's summary; in the order of the blocks, for the last digits of sums."""
        self._num_rows += summary.num_rows
        self._sum_weight += summary.sum_weight
        for name, moments, hashes in zip(
            self._names, summary.moments, summary.distinct, strict=True
        ):
            self._moments[name].merge(moments)
            self._distinct[name].take(hashes)
        self._rows.take(*summary.rows)
        for counts, found in zip(self._tokens.values(), summary.tokens, strict=True):
            for block in found:
                counts.take(block)
        for bag, bag_summary in zip(self._bags.values(), summary.bags, strict=True):
            bag.take(bag_summary)

    def merge(self, other: StatisticsBuilder) -> None:
        """Take in what `other` collected.

        Raises:
            ValueError: it has other columns or another sample size.
        """
        mine = (self._names, [*self._tokens, *self._bags], self._rows.size)
        theirs = (other._names, [*other._tokens, *other._bags], other._rows.size)
        if mine != theirs:
            raise ValueError(f"cannot merge statistics of {theirs} into those of {mine}")
        self._num_rows += other._num_rows
        self._sum_weight += other._sum_weight
        for name in self._names:
            self._moments[name].merge(other._moments[name])
            self._distinct[name].merge(other._distinct[name])
        self._rows.merge(other._rows)
        for name, counts in self._tokens.items():
            counts.merge(other._tokens[name])
        for name, bag in self._bags.items():
            bag.merge(other._bags[name])

    def finalize(self) -> TableStatistics:
        """The statistics of all rows so far; more may be added afterwards."""
        sample, intervals = self._rows.columns(), intervals_for(len(self._names))
        numbers = {
            name: _summarize(self._moments[name], self._distinct[name], sample[i], intervals)
            for i, name in enumerate(self._names)
        }
        return TableStatistics(
            num_rows=self._num_rows,
            mean_weight=self._sum_weight / max(1, self._num_rows),
            label=None if self._label is None else numbers.pop(self._label),
            numbers=numbers,
            tokens={name: counts.sorted_pairs() for name, counts in self._tokens.items()},
            missing_tokens={name: counts.missing for name, counts in self._tokens.items()},
            bags={
                name: BagStatistics(bag.lengths(), bag.tokens.sorted_pairs())
                for name, bag in self._bags.items()
            },
        )


def _summarize(
    moments: Moments, distinct: DistinctSample, sample: Floats, intervals: int
) -> NumberStatistics:
    """The statistics of one column; `sample` is its (N,) values in the sampled rows."""
    sample = np.sort(sample[np.isfinite(sample)])
    count = moments.count
    variance = moments.sum_2 / max(1, count)
    mode, mode_share = _mode(sample)
    return NumberStatistics(
        count=count,
        missing=moments.missing,
        mean=moments.mean,
        sd=float(np.sqrt(variance)),
        minimum=moments.minimum if count else 0.0,
        maximum=moments.maximum if count else 0.0,
        kurtosis=moments.sum_4 / count / variance**2 if variance**2 > 0 else 0.0,
        zeros=moments.zeros,
        mode=mode,
        mode_share=mode_share,
        distinct=distinct.estimate(),
        quantiles=grid(sample, intervals),
        distinct_quantiles=values_or_grid(distinct.values(), intervals),
    )


def _mode(sample: Floats) -> tuple[float, float]:
    if not len(sample):
        return 0.0, 0.0
    values, counts = np.unique(sample, return_counts=True)
    return float(values[counts.argmax()]), float(counts.max() / len(sample))


def _to_float64(column: Column) -> Floats:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        column = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return cast(Floats, np.asarray(column, np.float64))
