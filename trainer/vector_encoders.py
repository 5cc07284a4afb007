"""The encoder of vector columns: each number of a fixed-length list is a number of the model.

Axes: B batch, n numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.columns import Vector
from trainer.encoders import Encoder, Features, NumberFeature, to_floats
from trainer.number_encoders import NumberPlan, number_statistics
from trainer.statistics import TableStatistics


class VectorEncoder(Encoder):
    """A vector column `v`: the numbers `v.0` to `v.<n-1>`, and one indicator of a missing row."""

    def __init__(self, name: str, column: Vector, statistics: TableStatistics):
        """Raises UserError as `NumberPlan` and `number_statistics`."""
        super().__init__()
        self._column, self._raw, self._size = name, column.source or name, column.size
        found = [number_statistics(statistics, f"{self._raw}.{i}") for i in range(column.size)]
        self._indicator = f"{name}.missing"
        # A row is missing as a whole; a NaN within a vector is the mean of its place.
        self._has_missing = column.missing == "indicator" and min(f.missing for f in found) > 0
        each = column.model_copy(update={"missing": "mean"}) if self._has_missing else column
        plans = [
            NumberPlan(
                f"{name}.{i}",
                each,
                numbers,
                num_rows=statistics.num_rows,
                towers=column.towers,
            )
            for i, numbers in enumerate(found)
        ]
        self._first = plans[0]
        self.numbers = [plan.number for plan in plans]
        self.id_features = [f for plan in plans for f in plan.id_features]
        self.number_features = [f for plan in plans for f in plan.number_features]
        if self._has_missing:
            wide, deep = "wide" in column.towers, "deep" in column.towers
            self.number_features.append(NumberFeature(self._indicator, wide, deep))

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The raw (B, n) float32."""
        return {self._column: raw[self._raw]}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The raw (B, n) float32."""
        return {self._column: np.ascontiguousarray(to_floats(columns[self._raw]))}

    def values(self, decoded: Mapping[str, tf.Tensor]) -> Sequence[tf.Tensor]:
        """Every number of the vector."""
        numbers: Sequence[tf.Tensor] = tf.unstack(decoded[self._column], num=self._size, axis=1)
        return numbers

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Features:
        """The indicator."""
        features = Features()
        if self._has_missing:
            is_present_B = tf.reduce_any(tf.math.is_finite(decoded[self._column]), axis=1)
            features.numbers[self._indicator] = 1.0 - tf.cast(is_present_B, tf.float32)
        return features

    def describe(self) -> list[str]:
        """How many numbers, and the first one as `NumberPlan.describe`."""
        indicator = ", one indicator missing" if self._has_missing else ""
        first = (self._first.describe() or ["no part"])[0]
        return [f"{self._column}: {self._size} numbers{indicator}; {first}"]
