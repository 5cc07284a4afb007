"""Statistics of one number, and the edges of buckets by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field

from trainer.quantiles import interpolate
from trainer.sampling import Floats

Count = Annotated[int, Field(ge=0)]
# Of float32, as the numbers of a file are read: beyond them the model would get infinities.
Number = Annotated[float, Field(ge=-3.4028235e38, le=3.4028235e38)]
NotNegative = Annotated[float, Field(ge=0, le=3.4028235e38)]
# A file of statistics has exactly these fields, and finite numbers.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class NumberStatistics:
    """Statistics of one number over the rows where it is not missing.

    Without such rows every number is 0 and the quantiles are (). `sd` is that of the population,
    `kurtosis` Pearson's (3 for a normal distribution, 0 for a constant). Quantiles, `mode` (the
    most frequent value, the smallest of equals) and `mode_share` come from a sample that holds all
    rows up to `sample_rows`; `distinct` and its quantiles from one that holds all values up to as
    many. Where there are at most 1,001 distinct values, `distinct_quantiles` is these values.
    """

    count: Count
    missing: Count
    mean: Number
    sd: NotNegative
    minimum: Number
    maximum: Number
    kurtosis: Number
    zeros: Count
    mode: Number
    mode_share: NotNegative
    distinct: Count
    quantiles: tuple[Number, ...]
    distinct_quantiles: tuple[Number, ...]

    __pydantic_config__ = STRICT

    def quantile_edges(self, num_buckets: int) -> tuple[float, ...]:
        """Inner edges of buckets of equal row count.

        Returns:
            Increasing numbers above the minimum, representable in float32 since the model compares
            in float32; fewer than num_buckets - 1 where quantiles collapse.
        """
        return self._inner_edges(interpolate(self.quantiles, num_buckets))

    def distinct_edges(self, num_buckets: int) -> tuple[float, ...]:
        """Inner edges of buckets of equal count of distinct values, as `quantile_edges`.

        A bucket for each value where there are no more values than buckets.
        """
        if self._has_few_values(num_buckets):
            return self._inner_edges(np.array(self.distinct_quantiles))
        return self._inner_edges(interpolate(self.distinct_quantiles, num_buckets))

    def bucket_edges(self, num_buckets: int) -> tuple[float, ...]:
        """The union of `quantile_edges` and `distinct_edges`: up to 2 * (num_buckets - 1) edges.

        A bucket for each value where there are no more values than buckets.
        """
        if self._has_few_values(num_buckets):
            return self.distinct_edges(num_buckets)
        by_rows = interpolate(self.quantiles, num_buckets)
        by_values = interpolate(self.distinct_quantiles, num_buckets)
        return self._inner_edges(np.concatenate([by_rows, by_values]))

    def _has_few_values(self, num_buckets: int) -> bool:
        return self.distinct <= num_buckets and self.distinct == len(self.distinct_quantiles)

    def _inner_edges(self, edges: Floats) -> tuple[float, ...]:
        edges = np.unique(edges.astype(np.float32)).astype(np.float64)
        return tuple(edges[edges > np.float32(self.minimum)].tolist())
