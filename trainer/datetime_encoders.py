"""The encoder of datetime columns: an id per part, waves for cyclic parts, and numbers.

Axes: B batch, W bytes of a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.columns import DATE_PART_SIZES, Datetime, parse_datetime_format
from trainer.datetime_numbers import datetime_numbers, moved
from trainer.encoders import (
    Encoder,
    Features,
    NumberFeature,
    describe_ids,
    fixed_width_bytes,
    id_feature,
    integer_tensor,
    remembered,
    take_decoded,
    to_integers,
)
from trainer.number_encoders import NumberPlan, number_statistics
from trainer.statistics import TableStatistics
from trainer.transforms import (
    MISSING_TIME,
    cyclic,
    date_parts,
    parse_datetime,
    parse_datetime_bytes,
)


class DatetimeSeconds:
    """The times of a datetime column, from its raw column."""

    def __init__(self, name: str, column: Datetime):
        """Nothing is read yet."""
        self._raw = column.source or name
        self._datetime = column
        # Names of the numbers, by that of the column.
        self.names = [f"{name}.{number}" for number in column.numbers]
        self._memory = remembered(lambda text_V: parse_datetime(text_V, column.format), np.int64)

    def decode(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """(B,) int64 seconds since 1970."""
        if self._datetime.is_epoch:
            return self._seconds(integer_tensor(raw[self._raw]))
        return parse_datetime(raw[self._raw], self._datetime.format)

    def decode_block(self, columns: Mapping[str, pa.Array]) -> Any:
        """(B,) int64 seconds since 1970; texts are read from Arrow's buffer."""
        column, pattern = columns[self._raw], self._datetime.format
        if self._datetime.is_epoch:
            return self._seconds(tf.constant(to_integers(column)))
        if pa.types.is_dictionary(column.type):
            return take_decoded(column, self._memory, missing=int(MISSING_TIME))
        _, width = parse_datetime_format(pattern)
        digits = tf.constant(fixed_width_bytes(column, width))
        return _parse_block(digits, pattern)

    def numbers(self, columns: Mapping[str, pa.Array]) -> dict[str, np.ndarray]:
        """(B,) float64 of its numbers by name, time from 1970 on; for statistics."""
        seconds_B = tf.constant(self.decode_block(columns))
        found = datetime_numbers(seconds_B, self._datetime.numbers, 0, tf.float64)
        return {name: values.numpy() for name, values in zip(self.names, found, strict=True)}

    def _seconds(self, count_B: tf.Tensor) -> tf.Tensor:
        """(B,) int64 seconds of a count in the unit of the format."""
        if self._datetime.format == "epoch_seconds":
            return count_B
        seconds = tf.math.floordiv(count_B, 1000)
        return tf.where(tf.equal(count_B, MISSING_TIME), count_B, seconds)


class DatetimeEncoder(Encoder):
    """An id per part of the time, sine and cosine of its cyclic parts, and its numbers."""

    def __init__(
        self, name: str, column: Datetime, default_dim: int | str, statistics: TableStatistics
    ):
        """Only numbers are learned from the data; raises UserError as `NumberPlan`."""
        super().__init__()
        self._column, self._datetime = name, column
        self._times = DatetimeSeconds(name, column)
        self.id_features = [
            id_feature(
                f"{name}.{part}",
                DATE_PART_SIZES[part] + 1,
                towers=column.towers,
                embedding_dim=column.embedding_dim,
                default=default_dim,
            )
            for part in column.parts
        ]
        self.number_features = [
            NumberFeature(f"{name}.{part}_{wave}", wide=False, deep="deep" in column.towers)
            for part in column.cyclic
            for wave in ("sin", "cos")
        ]
        self._origin_days = 0
        plans = []
        for number in self._times.names:
            found = number_statistics(statistics, number)
            if number == f"{name}.time":
                self._origin_days = round(found.mean)
                found = moved(found, self._origin_days)
            plans.append(
                NumberPlan(
                    number,
                    column.numeric,
                    found,
                    num_rows=statistics.num_rows,
                    towers=column.towers,
                )
            )
        self._plans = plans
        self.numbers = [plan.number for plan in plans]
        self.id_features += [f for plan in plans for f in plan.id_features]
        self._num_waves = len(self.number_features)
        self.number_features += [f for plan in plans for f in plan.number_features]

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """(B,) int64 seconds since 1970."""
        return {self._column: self._times.decode(raw)}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """(B,) int64 seconds since 1970."""
        return {self._column: self._times.decode_block(columns)}

    def values(self, decoded: Mapping[str, tf.Tensor]) -> Sequence[tf.Tensor]:
        """Its numbers."""
        if not self._plans:
            return ()
        return datetime_numbers(
            decoded[self._column], self._datetime.numbers, self._origin_days, tf.float32
        )

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Features:
        """Ids and waves."""
        parts = dict.fromkeys((*self._datetime.parts, *self._datetime.cyclic))
        ids, features = date_parts(decoded[self._column], list(parts)), Features()
        for part in self._datetime.parts:
            features.ids[f"{self._column}.{part}"] = ids[part]
        for part in self._datetime.cyclic:
            sine, cosine = cyclic(ids[part], part)
            features.numbers[f"{self._column}.{part}_sin"] = sine
            features.numbers[f"{self._column}.{part}_cos"] = cosine
        return features

    def describe(self) -> list[str]:
        """A line per part."""
        parts = self.id_features[: len(self._datetime.parts)]
        lines = [describe_ids(f, f"missing and {f.size - 1} values") for f in parts]
        waves = self.number_features[: self._num_waves]
        lines += [f"{f.name}: -1 to 1, missing as 0; deep" for f in waves]
        return lines + [line for plan in self._plans for line in plan.describe()]


@tf.function(reduce_retracing=True, autograph=False)
def _parse_block(bytes_BW: tf.Tensor, pattern: str) -> tf.Tensor:
    return parse_datetime_bytes(bytes_BW, pattern)
