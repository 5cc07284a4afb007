"""All numbers of a schema, encoded at once: a few dozen operations however many columns there are.

Imports encoders and below; knows no kind of column. Axes: B batch, N numbers; of them L with a
logarithm, M with an indicator of missing values, Z of zeros, K with buckets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.buckets import Buckets, as_column, select_rows
from trainer.encoders import Features, Number
from trainer.transforms import in_whole_packets

_LOGARITHMS = {"log": tf.math.log, "log1p": tf.math.log1p}


class NumberBank:
    """Scaled values, indicators and bucket ids of numbers.

    Not a tf.Module: it has constants only. A row's features do not depend on the batch that it
    stands in.
    """

    def __init__(self, numbers: Sequence[Number]):
        """Collect the constants, a row for each number, in the order of `encode`."""
        self._names = [number.name for number in numbers]
        self._fill_N1 = as_column([number.fill for number in numbers])
        bounds = [number.clip or (-np.inf, np.inf) for number in numbers]
        self._low_N1 = as_column([low for low, _ in bounds])
        self._high_N1 = as_column([high for _, high in bounds])
        self._has_clip = any(number.clip for number in numbers)
        scalings = [number.scaling for number in numbers]
        self._curves = [scaling.curve for scaling in scalings]
        self._floor_N1 = as_column([scaling.floor for scaling in scalings])
        self._shift_N1 = as_column([scaling.shift for scaling in scalings])
        self._factor_N1 = as_column([scaling.factor for scaling in scalings])
        self._with_missing = [i for i, number in enumerate(numbers) if number.has_missing]
        self._with_zero = [i for i, number in enumerate(numbers) if number.has_zero]
        edges = {i: number.edges for i, number in enumerate(numbers) if number.edges is not None}
        self._with_buckets = list(edges)
        self._buckets = Buckets(list(edges.values())) if edges else None

    def encode(self, values: Sequence[tf.Tensor]) -> Features:
        """Features of N tensors of (B,) float32; NaN and infinity are missing.

        Ids: 0 is missing, else 1 + how many edges the clipped value has reached.
        """
        features = Features()
        if not values:
            return features
        values_NB = tf.stack(values)
        is_finite_NB = tf.math.is_finite(values_NB)
        clipped_NB = values_NB
        if self._has_clip:
            clipped_NB = tf.minimum(tf.maximum(values_NB, self._low_N1), self._high_N1)
        filled_NB = tf.where(is_finite_NB, clipped_NB, self._fill_N1)
        scaled_NB = (self._curved(filled_NB) - self._shift_N1) * self._factor_N1
        self._add(features.numbers, scaled_NB, range(len(values)))
        if self._with_missing:
            is_finite_MB = select_rows(is_finite_NB, self._with_missing)
            missing_MB = 1.0 - tf.cast(is_finite_MB, tf.float32)
            self._add(features.numbers, missing_MB, self._with_missing, ".missing")
        if self._with_zero:
            zero_ZB = tf.cast(tf.equal(select_rows(values_NB, self._with_zero), 0.0), tf.float32)
            self._add(features.numbers, zero_ZB, self._with_zero, ".zero")
        if self._buckets is not None:
            reached_KB = self._buckets.count_reached(select_rows(filled_NB, self._with_buckets))
            is_finite_KB = select_rows(is_finite_NB, self._with_buckets)
            ids_KB = (reached_KB + 1) * tf.cast(is_finite_KB, tf.int32)
            self._add(features.ids, ids_KB, self._with_buckets)
        return features

    def _curved(self, filled_NB: tf.Tensor) -> tf.Tensor:
        """The logarithm of the numbers that are scaled by one; the others as they are."""
        if not set(self._curves) & _LOGARITHMS.keys():
            return filled_NB
        parts, order = [], []
        for curve in sorted(set(self._curves)):
            rows = [i for i, found in enumerate(self._curves) if found == curve]
            part_LB = select_rows(filled_NB, rows)
            if curve in _LOGARITHMS:
                floored_LB = tf.maximum(part_LB, self._floor_N1[rows])
                part_LB = in_whole_packets(_LOGARITHMS[curve], floored_LB)
            parts.append(part_LB)
            order += rows
        return select_rows(tf.concat(parts, 0), np.argsort(order).tolist())

    def _add(
        self,
        found: dict[str, tf.Tensor],
        values: tf.Tensor,
        numbers: Sequence[int],
        suffix: str = "",
    ) -> None:
        for number, row_B in zip(numbers, tf.unstack(values, num=len(numbers)), strict=True):
            found[self._names[number] + suffix] = row_B
