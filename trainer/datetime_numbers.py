"""Numbers of a point in time: its place on the line of time, in the day and in the year.

Axes: B batch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.number_statistics import NumberStatistics
from trainer.transforms import END_SECOND, FIRST_SECOND, SECONDS_PER_DAY, year_of


def datetime_numbers(
    seconds_B: tf.Tensor, names: Sequence[str], origin_days: int, dtype: tf.DType
) -> list[tf.Tensor]:
    """(B,) numbers of `dtype`, NaN where the time is missing or outside of the years 0 to 9999.

    Args:
        seconds_B: int64 seconds since 1970-01-01 00:00:00, as `DatetimeEncoder.decode` gives them.
        names: time, in days since the origin; time_of_day, in hours from 0; day_of_year, in days
            from 1 on.
        origin_days: days from 1970-01-01 to the origin of time: a float32 has 84 seconds for the
            days since 1970, and 0.7 for those of a year around the origin.
        dtype: float32, or float64 for statistics.
    """
    is_time_B = (seconds_B >= FIRST_SECOND) & (seconds_B < END_SECOND)
    seconds_B = tf.where(is_time_B, seconds_B, tf.zeros_like(seconds_B))
    days_B = tf.math.floordiv(seconds_B, SECONDS_PER_DAY)
    second_of_day_B = tf.cast(seconds_B - days_B * SECONDS_PER_DAY, dtype)
    found = []
    # By factors: a graph makes a division by a constant one, and its last bit would be another.
    for name in names:
        if name == "time":
            whole_B = tf.cast(days_B - origin_days, dtype)
            value_B = whole_B + second_of_day_B * (1 / SECONDS_PER_DAY)
        elif name == "time_of_day":
            value_B = second_of_day_B * (1 / 3600)
        else:
            days_32 = tf.cast(days_B, tf.int32)
            first_B = tf.gather(_first_days(), year_of(days_32))
            value_B = tf.cast(days_32 - first_B + 1, dtype)
        found.append(tf.where(is_time_B, value_B, tf.constant(np.nan, dtype)))
    return found


def moved(found: NumberStatistics, shift: float) -> NumberStatistics:
    """Statistics of the same values, each less by `shift`."""
    if not found.count:
        return found
    return dataclasses.replace(
        found,
        mean=found.mean - shift,
        minimum=found.minimum - shift,
        maximum=found.maximum - shift,
        mode=found.mode - shift,
        quantiles=tuple(value - shift for value in found.quantiles),
        distinct_quantiles=tuple(value - shift for value in found.distinct_quantiles),
    )


@functools.lru_cache(maxsize=1)
def _first_days() -> np.ndarray:
    """Days from 1970-01-01 to January 1 of the years 0 to 9999, int32."""
    years = np.arange(-1970, 10_000 - 1970).astype("datetime64[Y]")
    return years.astype("datetime64[D]").astype(np.int32)
