"""The encoder of geo columns: distances and directions between points, as numbers of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import tensorflow as tf

from trainer.columns import Geo
from trainer.encoders import Encoder, Features, to_floats
from trainer.number_encoders import NumberEncoder, number_statistics
from trainer.statistics import TableStatistics
from trainer.transforms import bearing_sin_cos, haversine_km, in_whole_packets, manhattan_km


def geo_outputs(column: Geo, *coordinates: tf.Tensor) -> list[tf.Tensor]:
    """The (B,) float32 numbers of a geo column in the order of `Geo.outputs`.

    Args:
        column: the distances that are wanted.
        coordinates: latitude and longitude of the start, then of the end, (B,) float32 degrees.
    """

    def compute(*points: tf.Tensor) -> list[tf.Tensor]:
        lat1, lon1, lat2, lon2 = points
        numbers: dict[str, tf.Tensor] = {}
        if "haversine" in column.distances:
            numbers["haversine"] = haversine_km(*points)
        if "manhattan" in column.distances:
            numbers["manhattan"] = manhattan_km(*points, grid_angle=column.grid_angle)
        if "bearing" in column.distances:
            numbers["bearing_sin"], numbers["bearing_cos"] = bearing_sin_cos(*points)
        for name, (lat, lon) in column.landmarks.items():
            numbers[f"from_{name}"] = haversine_km(lat1, lon1, lat, lon)
            numbers[f"to_{name}"] = haversine_km(lat2, lon2, lat, lon)
        return [numbers[output] for output in column.outputs]

    return in_whole_packets(compute, *coordinates)


class GeoEncoder(Encoder):
    """A geo column: each distance is a number of the model."""

    def __init__(self, name: str, column: Geo, statistics: TableStatistics):
        """Raises UserError as `NumberEncoder` and `number_statistics`."""
        super().__init__()
        self._geo = column
        self._raw = (*column.from_point, *column.to_point)
        self._points = [f"{name}.{end}" for end in ("lat1", "lon1", "lat2", "lon2")]
        self._numbers = [
            NumberEncoder(
                f"{name}.{output}",
                column.numeric,
                number_statistics(statistics, f"{name}.{output}"),
                num_rows=statistics.num_rows,
                towers=column.towers,
            )
            for output in column.outputs
        ]
        self.id_features = [f for number in self._numbers for f in number.id_features]
        self.number_features = [f for number in self._numbers for f in number.number_features]

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The four raw (B,) float32 coordinates."""
        return {point: raw[name] for point, name in zip(self._points, self._raw, strict=True)}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The four raw (B,) float32 coordinates."""
        pairs = zip(self._points, self._raw, strict=True)
        return {point: to_floats(columns[name]) for point, name in pairs}

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Features:
        """Features of every distance."""
        features = Features()
        outputs = geo_outputs(self._geo, *(decoded[point] for point in self._points))
        for number, values in zip(self._numbers, outputs, strict=True):
            features.update(number.encode(values))
        return features

    def describe(self) -> list[str]:
        """As `NumberEncoder.describe`, for each distance."""
        return [line for number in self._numbers for line in number.describe()]
