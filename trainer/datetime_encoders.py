"""The encoder of datetime columns: an id per part, and waves for cyclic parts.

Axes: B batch, W bytes of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.columns import DATE_PART_SIZES, Datetime, parse_datetime_format
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
from trainer.transforms import (
    MISSING_TIME,
    cyclic,
    date_parts,
    parse_datetime,
    parse_datetime_bytes,
)


class DatetimeEncoder(Encoder):
    """An id per part of the time, and sine and cosine of its cyclic parts."""

    def __init__(self, name: str, column: Datetime, default_dim: int | str):
        """Nothing is learned from the data."""
        super().__init__()
        self._column, self._raw = name, column.source or name
        self._datetime = column
        self._memory = remembered(lambda text_V: parse_datetime(text_V, column.format), np.int64)
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

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """(B,) int64 seconds since 1970."""
        if self._datetime.is_epoch:
            return {self._column: self._seconds(integer_tensor(raw[self._raw]))}
        return {self._column: parse_datetime(raw[self._raw], self._datetime.format)}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """(B,) int64 seconds since 1970; texts are read from Arrow's buffer."""
        column, pattern = columns[self._raw], self._datetime.format
        if self._datetime.is_epoch:
            return {self._column: self._seconds(tf.constant(to_integers(column)))}
        if pa.types.is_dictionary(column.type):
            seconds = take_decoded(column, self._memory, missing=int(MISSING_TIME))
            return {self._column: seconds}
        _, width = parse_datetime_format(pattern)
        digits = tf.constant(fixed_width_bytes(column, width))
        return {self._column: _parse_block(digits, pattern)}

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
        lines = [describe_ids(f, f"missing and {f.size - 1} values") for f in self.id_features]
        return lines + [f"{f.name}: -1 to 1, missing as 0; deep" for f in self.number_features]

    def _seconds(self, count_B: tf.Tensor) -> tf.Tensor:
        """(B,) int64 seconds of a count in the unit of the format."""
        if self._datetime.format == "epoch_seconds":
            return count_B
        seconds = tf.math.floordiv(count_B, 1000)
        return tf.where(tf.equal(count_B, MISSING_TIME), count_B, seconds)


@tf.function(reduce_retracing=True, autograph=False)
def _parse_block(bytes_BW: tf.Tensor, pattern: str) -> tf.Tensor:
    return parse_datetime_bytes(bytes_BW, pattern)
