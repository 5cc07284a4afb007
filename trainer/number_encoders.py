"""Encoders of numbers: numeric and bucketized columns, and the numbers that geo columns make.

Axes: B batch.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.columns import Bucketized, Numeric, NumericOptions, Tower
from trainer.encoders import (
    Encoder,
    IdFeature,
    Number,
    NumberFeature,
    describe_ids,
    id_feature,
    to_floats,
)
from trainer.errors import UserError
from trainer.number_statistics import NumberStatistics
from trainer.scaling import choose_scaling, clipped, fill_value, quantile
from trainer.statistics import TableStatistics

logger = logging.getLogger(__name__)

# The recipe that was measured on six tables. Source: recipe R*, November 2026.
POINT_MASS_SHARE = 0.2
BUCKET_EMBEDDING_DIM = 8
ZERO_SHARES = (0.02, 0.98)
ROWS_PER_BUCKET, MIN_BUCKETS, MAX_BUCKETS = 200, 16, 128


def number_statistics(statistics: TableStatistics, name: str) -> NumberStatistics:
    """Statistics of a raw column or a geo output.

    Raises:
        UserError: there are none, or no row has a value.
    """
    if name not in statistics.numbers:
        raise UserError(
            f"the statistics have no number {name!r}; data.statistics_path was written for another "
            "schema. Leave it out to compute them"
        )
    found = statistics.numbers[name]
    if not found.count:
        raise UserError(
            f"every training value of {name!r} is missing; a feature needs some. Check "
            "data.column_names and data.null_values, or drop the column"
        )
    return found


def auto_buckets(num_rows: int) -> int:
    """2^floor(log2(rows / 200)) within 16..128.

    >>> auto_buckets(100), auto_buckets(7_333), auto_buckets(10_000_000)
    (16, 32, 128)
    """
    exponent = math.floor(math.log2(max(1.0, num_rows / ROWS_PER_BUCKET)))
    return min(MAX_BUCKETS, max(MIN_BUCKETS, 2**exponent))


class NumberPlan:
    """One number of the model: its constants, and the features that it makes."""

    def __init__(
        self,
        name: str,
        options: NumericOptions,
        found: NumberStatistics,
        *,
        num_rows: int,
        towers: Sequence[Tower],
    ):
        """Fix every constant from the statistics of the training rows.

        Raises:
            UserError: the scale does not fit the values.
        """
        wide, deep = "wide" in towers, "deep" in towers
        is_constant = found.minimum == found.maximum
        if is_constant:
            logger.warning("%s has the value %g in every training row", name, found.minimum)
        share = found.zeros / max(1, num_rows)
        num_buckets = auto_buckets(num_rows) if options.buckets == "auto" else options.buckets
        edges_of = found.bucket_edges if options.distinct_edges else found.quantile_edges
        edges = () if is_constant else _inside(options.clip, edges_of(num_buckets))
        self.number = Number(
            name,
            clip=options.clip,
            fill=fill_value(options, found),
            scaling=choose_scaling(name, options, found),
            has_missing=options.missing == "indicator" and found.missing > 0,
            has_zero=options.indicators
            and found.distinct > 2
            and ZERO_SHARES[0] <= share <= ZERO_SHARES[1],
            edges=edges if num_buckets else None,
        )
        bins = self._piecewise_edges(options, found) if deep and not is_constant else ()
        self.number_features = [NumberFeature(name, wide, deep, bins)]
        if self.number.has_missing:
            self.number_features.append(NumberFeature(f"{name}.missing", wide, deep))
        if self.number.has_zero:
            self.number_features.append(NumberFeature(f"{name}.zero", wide, deep))
        self.id_features = (
            [self._bucket_feature(options, found, len(edges), () if is_constant else towers)]
            if num_buckets
            else []
        )

    def describe(self) -> list[str]:
        """One line for the number, one for its buckets."""
        name, scaling, main = self.number.name, self.number.scaling, self.number_features[0]
        curve = "x" if scaling.curve == "none" else f"{scaling.curve}(x)"
        extras = [f.name.removeprefix(f"{name}.") for f in self.number_features[1:]]
        line = f"{name}: ({curve} - {scaling.shift:.6g}) * {scaling.factor:.6g}"
        line += f", missing as {self.number.fill:.6g}"
        line += f", indicators {' and '.join(extras)}" if extras else ""
        bins = max(0, len(main.piecewise_edges) - 1)
        parts = [part for part, used in (("wide", main.wide), ("deep", main.deep)) if used]
        lines = [f"{line}; {bins} piecewise bins; {', '.join(parts)}"] if parts else []
        return lines + [
            describe_ids(f, f"missing and {f.size - 1} buckets") for f in self.id_features
        ]

    def _bucket_feature(
        self,
        options: NumericOptions,
        found: NumberStatistics,
        num_edges: int,
        towers: Sequence[Tower],
    ) -> IdFeature:
        width = options.embedding_dim
        if width == "auto":
            is_curved = found.mode_share >= POINT_MASS_SHARE or self.number.scaling.curve == "log1p"
            width = BUCKET_EMBEDDING_DIM if is_curved else 0
        width = int(width) if "deep" in towers else 0
        is_wide = "wide" in towers and options.wide_buckets
        return IdFeature(self.number.name, num_edges + 2, is_wide, width)

    def _piecewise_edges(
        self, options: NumericOptions, found: NumberStatistics
    ) -> tuple[float, ...]:
        if not options.piecewise_linear:
            return ()
        shares = np.linspace(0.0, 1.0, options.piecewise_linear + 1)
        values = np.array([clipped(options, quantile(found, share)) for share in shares])
        scaled = np.unique(self.number.scaling(values))
        return tuple(scaled.tolist()) if len(scaled) > 1 else ()


def _inside(clip: tuple[float, float] | None, edges: tuple[float, ...]) -> tuple[float, ...]:
    """Edges that clipped values can reach on both sides."""
    if clip is None:
        return edges
    return tuple(edge for edge in edges if clip[0] < edge <= clip[1])


class OneNumberEncoder(Encoder):
    """A column that reads one raw number."""

    def __init__(self, name: str, raw: str):
        """Take the names of the column and of the raw one."""
        super().__init__()
        self._column, self._raw = name, raw

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The raw (B,) float32."""
        return {self._column: raw[self._raw]}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The raw (B,) float32."""
        return {self._column: to_floats(columns[self._raw])}

    def values(self, decoded: Mapping[str, tf.Tensor]) -> Sequence[tf.Tensor]:
        """The column itself."""
        return [decoded[self._column]]


class NumericEncoder(OneNumberEncoder):
    """A numeric column."""

    def __init__(self, name: str, column: Numeric, statistics: TableStatistics):
        """Raises UserError as `NumberPlan` and `number_statistics`."""
        super().__init__(name, column.source or name)
        self._plan = NumberPlan(
            name,
            column,
            number_statistics(statistics, self._raw),
            num_rows=statistics.num_rows,
            towers=column.towers,
        )
        self.numbers = [self._plan.number]
        self.id_features = self._plan.id_features
        self.number_features = self._plan.number_features

    def describe(self) -> list[str]:
        """As `NumberPlan.describe`."""
        return self._plan.describe()


class BucketizedEncoder(OneNumberEncoder):
    """A bucketized column."""

    def __init__(
        self, name: str, column: Bucketized, statistics: TableStatistics, default_dim: int | str
    ):
        """Raises UserError as `number_statistics`."""
        super().__init__(name, column.source or name)
        found = number_statistics(statistics, self._raw)
        if column.edges is not None:
            self._edges = column.edges
        elif column.quantiles is not None:
            self._edges = found.quantile_edges(column.quantiles)
        else:
            self._edges = found.distinct_edges(column.distinct_quantiles or 2)
        self.numbers = [Number(name, edges=self._edges)]
        if not self._edges:
            logger.warning("%s has one bucket: its training values are all alike", name)
        self.id_features = [
            id_feature(
                name,
                len(self._edges) + 2,
                towers=column.towers,
                embedding_dim=column.embedding_dim,
                default=default_dim,
            )
        ]

    def describe(self) -> list[str]:
        """Number of buckets and where the first and last edges are."""
        edges = self._edges
        ends = f", edges {edges[0]:.6g} to {edges[-1]:.6g}" if edges else ""
        return [describe_ids(self.id_features[0], f"missing and {len(edges) + 1} buckets{ends}")]
