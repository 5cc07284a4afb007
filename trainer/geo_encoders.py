"""The encoder of geo columns: distances and directions between points, as numbers of the model.

Axes: B batch, L landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.columns import Geo
from trainer.encoders import Encoder, to_floats
from trainer.number_encoders import NumberPlan, number_statistics
from trainer.statistics import TableStatistics
from trainer.transforms import bearing_sin_cos, haversine_km, in_whole_packets, manhattan_km


def geo_outputs(column: Geo, *coordinates: tf.Tensor) -> list[tf.Tensor]:
    """The (B,) float32 numbers of a geo column in the order of `Geo.outputs`.

    Args:
        column: the distances that are wanted.
        coordinates: latitude and longitude of the start, then of the end, (B,) float32 degrees.
    """

    landmarks = np.array(list(column.landmarks.values()), np.float32).reshape(-1, 2, 1, 1)

    def compute(points_4B: tf.Tensor) -> tf.Tensor:
        lat1, lon1, lat2, lon2 = points = tf.unstack(points_4B)
        outputs = []
        for distance in column.distances:
            if distance == "haversine":
                outputs.append(haversine_km(*points))
            elif distance == "manhattan":
                outputs.append(manhattan_km(*points, grid_angle=column.grid_angle))
        if "bearing" in column.distances:
            outputs += bearing_sin_cos(*points)
        if len(landmarks):
            ends_2B = tf.stack([lat1, lat2]), tf.stack([lon1, lon2])
            km_L2B = haversine_km(*ends_2B, landmarks[:, 0], landmarks[:, 1])
            outputs += tf.unstack(tf.reshape(km_L2B, (2 * len(landmarks), -1)))
        return tf.stack(outputs)

    return tf.unstack(in_whole_packets(compute, tf.stack(coordinates)))


class GeoEncoder(Encoder):
    """A geo column: each distance is a number of the model."""

    def __init__(self, name: str, column: Geo, statistics: TableStatistics):
        """Raises UserError as `NumberPlan` and `number_statistics`."""
        super().__init__()
        self._geo = column
        self._raw = (*column.from_point, *column.to_point)
        self._points = [f"{name}.{end}" for end in ("lat1", "lon1", "lat2", "lon2")]
        self._plans = [
            NumberPlan(
                f"{name}.{output}",
                column.numeric,
                number_statistics(statistics, f"{name}.{output}"),
                num_rows=statistics.num_rows,
                towers=column.towers,
            )
            for output in column.outputs
        ]
        self.numbers = [plan.number for plan in self._plans]
        self.id_features = [f for plan in self._plans for f in plan.id_features]
        self.number_features = [f for plan in self._plans for f in plan.number_features]

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The four raw (B,) float32 coordinates."""
        return {point: raw[name] for point, name in zip(self._points, self._raw, strict=True)}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The four raw (B,) float32 coordinates."""
        pairs = zip(self._points, self._raw, strict=True)
        return {point: to_floats(columns[name]) for point, name in pairs}

    def values(self, decoded: Mapping[str, tf.Tensor]) -> Sequence[tf.Tensor]:
        """Every distance."""
        return geo_outputs(self._geo, *(decoded[point] for point in self._points))

    def describe(self) -> list[str]:
        """As `NumberPlan.describe`, for each distance."""
        return [line for plan in self._plans for line in plan.describe()]
