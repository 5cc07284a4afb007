"""The arithmetic of features: distances, dates and crosses as pure TensorFlow functions.

Each runs eagerly, inside `dataset.map` and inside a SavedModel, and gives a row the same result
whatever the batch it stands in. Knows no schema and no statistics. Imports columns, numpy and
TensorFlow.

Axes: B batch, W bytes of a text.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.columns import DATE_PART_SIZES, FIRST_YEAR, parse_datetime_format

# Mean radius of the Earth. Source: Moritz 2000, "Geodetic Reference System 1980", R1.
EARTH_RADIUS_KM = 6371.0088
# Stands for a missing time, and for any missing integer.
MISSING_TIME = np.iinfo(np.int64).min
SECONDS_PER_DAY = 86_400
# The calendar repeats after 400 years.
_DAYS_PER_ERA, _MONTHS_PER_ERA = 146_097, 4800
# Smallest and largest number of each part of a date, and the seconds of a unit.
_BOUNDS = (
    {"Y": 0, "m": 1, "d": 1, "H": 0, "M": 0, "S": 0},
    {"Y": 9999, "m": 12, "d": 31, "H": 23, "M": 59, "S": 59},
)
_SECONDS = {"H": 3600, "M": 60, "S": 1}
# Years that a fixed-width %Y can state; epoch columns outside become missing.
FIRST_SECOND, END_SECOND = -62_167_219_200, 253_402_300_800
# Widest SIMD register of a CPU, in float32.
_LANES = 16


def haversine_km(lat1: tf.Tensor, lon1: tf.Tensor, lat2: tf.Tensor, lon2: tf.Tensor) -> tf.Tensor:
    """Great-circle distance in kilometres, (B,) float32; NaN where a coordinate is NaN.

    a = sin^2(dlat / 2) + cos(lat1) cos(lat2) sin^2(dlon / 2), distance = 2 R asin(sqrt(a)).
    Accurate to a relative 1e-6 of the given coordinates for up to some 10,000 km; near the
    antipode float32 leaves about 2e-4.

    Args:
        lat1: degrees north, (B,) float32 or a constant, as the other three.
        lon1: degrees east.
        lat2: degrees north.
        lon2: degrees east.
    """
    half_lat = tf.sin(_radians(lat2 - lat1) * 0.5)
    half_lon = tf.sin(_radians(lon2 - lon1) * 0.5)
    cosines = tf.cos(_radians(lat1)) * tf.cos(_radians(lat2))
    a = half_lat * half_lat + cosines * (half_lon * half_lon)
    # Not tf.minimum, which may turn NaN into 1.
    a = tf.where(a > 1.0, tf.ones_like(a), a)
    return 2.0 * EARTH_RADIUS_KM * tf.asin(tf.sqrt(a))


def manhattan_km(
    lat1: tf.Tensor, lon1: tf.Tensor, lat2: tf.Tensor, lon2: tf.Tensor, *, grid_angle: float
) -> tf.Tensor:
    """Distance in kilometres along two perpendicular axes, (B,) float32; NaN where one is NaN.

    On the plane that touches the Earth at the mean latitude: x = R cos(mean lat) dlon to the east,
    y = R dlat to the north; |x sin(g) + y cos(g)| + |x cos(g) - y sin(g)|.

    Args:
        lat1: degrees, as in `haversine_km`.
        lon1: degrees.
        lat2: degrees.
        lon2: degrees.
        grid_angle: g, degrees clockwise from north of the first axis.
    """
    north = _radians(lat2 - lat1)
    east = _radians(lon2 - lon1) * tf.cos(_radians(lat1 + lat2) * 0.5)
    sin, cos = math.sin(math.radians(grid_angle)), math.cos(math.radians(grid_angle))
    along = tf.abs(east * sin + north * cos)
    across = tf.abs(east * cos - north * sin)
    return EARTH_RADIUS_KM * (along + across)


def bearing_sin_cos(
    lat1: tf.Tensor, lon1: tf.Tensor, lat2: tf.Tensor, lon2: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sine and cosine of the initial course, clockwise from north, (B,) float32 each.

    East is (1, 0), north (0, 1), no movement (0, 0); NaN where a coordinate is NaN. With
    x = sin(dlon) cos(lat2) and y = sin(dlat) + 2 sin(lat1) cos(lat2) sin^2(dlon / 2): the usual
    y = cos(lat1) sin(lat2) - sin(lat1) cos(lat2) cos(dlon) in a form that keeps its digits for
    points that lie close together.
    """
    dlon = _radians(lon2 - lon1)
    half_lon = tf.sin(dlon * 0.5)
    cos_lat2 = tf.cos(_radians(lat2))
    x = tf.sin(dlon) * cos_lat2
    y = tf.sin(_radians(lat2 - lat1))
    y += 2.0 * tf.sin(_radians(lat1)) * cos_lat2 * (half_lon * half_lon)
    length = tf.sqrt(x * x + y * y)
    length = tf.where(tf.equal(length, 0.0), tf.ones_like(length), length)
    return x / length, y / length


def in_whole_packets(function: Callable[[tf.Tensor], tf.Tensor], values_RB: tf.Tensor) -> tf.Tensor:
    """`function` of (R, B) rows, computed at a length that is a multiple of 16; any rows.

    TensorFlow computes the last numbers of a tensor without SIMD, with sine and logarithm of
    another last digit, so that a row alone would get another number than in a block, and at the
    edge of a bucket another id.
    """
    num_rows = tf.shape(values_RB)[1]
    padding = tf.math.floormod(-num_rows, _LANES)
    return function(tf.pad(values_RB, [[0, 0], [0, padding]]))[:, :num_rows]


def parse_datetime(text_B: tf.Tensor, pattern: str) -> tf.Tensor:
    """Seconds since 1970-01-01 00:00:00 of (B,) string texts, as `parse_datetime_bytes`."""
    _, width = parse_datetime_format(pattern)
    return parse_datetime_bytes(tf.io.decode_raw(text_B, tf.uint8, fixed_length=width), pattern)


def parse_datetime_bytes(bytes_BW: tf.Tensor, pattern: str) -> tf.Tensor:
    """Seconds since 1970-01-01 00:00:00 of fixed-width texts.

    Digits are read at their places and must form a date of the Gregorian calendar; the literal
    text between them is not compared, so that 2013-03-27T03:35:00 reads as 2013-03-27 03:35:00.

    Args:
        bytes_BW: uint8, at least as wide as the pattern; shorter texts are padded with anything
            that is no digit.
        pattern: as `parse_datetime_format` takes it. Parts that it lacks are the first ones.

    Returns:
        (B,) int64; MISSING_TIME where the text is empty or no such date.
    """
    positions, width = parse_datetime_format(pattern)
    letters = sorted(positions)
    weights_WP = np.zeros((width, len(letters)), np.float32)
    for column, letter in enumerate(letters):
        offset, size = positions[letter]
        weights_WP[offset : offset + size, column] = 10.0 ** np.arange(size - 1, -1, -1)
    # What is no digit wraps around and is above 9, in bytes four times as fast as in floats.
    largest_W = np.where(weights_WP.any(axis=1), 9, 255).astype(np.uint8)
    digits_BW = bytes_BW[:, :width] - np.uint8(ord("0"))
    is_date = ~tf.reduce_any(digits_BW > largest_W, axis=1)
    # Sums of at most four digits are exact in float32.
    numbers_BP = tf.cast(tf.matmul(tf.cast(digits_BW, tf.float32), weights_WP), tf.int32)
    first_P, last_P = (
        np.array([bound[letter] for letter in letters], np.int32) for bound in _BOUNDS
    )
    is_date &= tf.reduce_all((numbers_BP >= first_P) & (numbers_BP <= last_P), axis=1)
    parts = dict(zip(letters, tf.unstack(numbers_BP, axis=1), strict=True))
    month = parts["Y"] * 12 + parts["m"] - 1 if "m" in parts else parts["Y"] * 12
    days, num_days = _days_before_month(month)
    if "d" in parts:
        is_date &= parts["d"] <= num_days
        days += parts["d"] - 1
    seconds = tf.cast(days, tf.int64) * SECONDS_PER_DAY
    if timed := set(letters) & _SECONDS.keys():
        of_day = tf.add_n([parts[letter] * _SECONDS[letter] for letter in sorted(timed)])
        seconds += tf.cast(of_day, tf.int64)
    return tf.where(is_date, seconds, MISSING_TIME)


def date_part(seconds_B: tf.Tensor, part: str) -> tf.Tensor:
    """One part of `date_parts`."""
    return date_parts(seconds_B, [part])[part]


def date_parts(seconds_B: tf.Tensor, parts: Sequence[str]) -> dict[str, tf.Tensor]:
    """Ids of parts of a time, (B,) int32 each: 0 is missing, else 1 + value.

    Args:
        seconds_B: int64 seconds since 1970-01-01 00:00:00; MISSING_TIME, and years outside 0..9999,
            are missing.
        parts: year (counted from FIRST_YEAR, moved into its range), month 0..11, day_of_week with
            Monday 0, hour, minute_of_day.
    """
    if not parts:
        return {}
    is_time = (seconds_B >= FIRST_SECOND) & (seconds_B < END_SECOND)
    seconds_B = tf.where(is_time, seconds_B, tf.zeros_like(seconds_B))
    days_64 = tf.math.floordiv(seconds_B, SECONDS_PER_DAY)
    days, values = tf.cast(days_64, tf.int32), {}
    if "day_of_week" in parts:
        values["day_of_week"] = tf.math.floormod(days + 3, 7)  # 1970-01-01 was a Thursday
    if {"hour", "minute_of_day"} & set(parts):
        second_of_day = tf.cast(seconds_B - days_64 * SECONDS_PER_DAY, tf.int32)
        values["hour"], values["minute_of_day"] = second_of_day // 3600, second_of_day // 60
    if {"year", "month"} & set(parts):
        year, values["month"] = _year_and_month(days)
        values["year"] = tf.clip_by_value(year - FIRST_YEAR, 0, DATE_PART_SIZES["year"] - 1)
    values_PB = tf.stack([values[part] for part in parts])
    ids_PB = (values_PB + 1) * tf.cast(is_time, tf.int32)
    return dict(zip(parts, tf.unstack(ids_PB), strict=True))


def cyclic(ids_B: tf.Tensor, part: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Sine and cosine of a part's share of its cycle, (B,) float32 each; (0, 0) where missing.

    Hour h of a day: sin(2 pi h / 24), cos(2 pi h / 24).

    Args:
        ids_B: of the part, as `date_parts` gives them.
        part: its name.
    """
    angles = 2.0 * np.pi * np.arange(DATE_PART_SIZES[part]) / DATE_PART_SIZES[part]
    sines = np.concatenate([[0.0], np.sin(angles)]).astype(np.float32)
    cosines = np.concatenate([[0.0], np.cos(angles)]).astype(np.float32)
    return tf.gather(sines, ids_B), tf.gather(cosines, ids_B)


def combine_ids(ids: Sequence[tf.Tensor], sizes: Sequence[Any]) -> tf.Tensor:
    """An own id for each combination, int32: (id_0 * size_1 + id_1) * size_2 + id_2 ...

    Args:
        ids: two or more (B,) or (X, B) int32, ids[i] in [0, sizes[i]).
        sizes: numbers of ids, or (X, 1) int32 of them.
    """
    combined = ids[0]
    for part, size in zip(ids[1:], sizes[1:], strict=True):
        combined = combined * size + part
    return combined


def mix_ids(ids: Sequence[tf.Tensor], bins: Any) -> tf.Tensor:
    """Id of a combination of ids by a hash, int32 in [0, bins).

    In 32-bit arithmetic, the same on CPU, GPU and TPU: h = mix(h + id_i + (i + 1) * 0x9e3779b9)
    over the ids, then h modulo `bins`.

    Args:
        ids: two or more (B,) or (X, B) int32.
        bins: size of the id space, or (X, 1) int32 of them.

    Source: finaliser of MurmurHash3 (Appleby), golden-ratio increments as in SplitMix (Steele).
    """
    mixed = tf.zeros_like(ids[0], tf.uint32)
    for position, part in enumerate(ids, start=1):
        increment = np.uint32(position * 0x9E3779B9 & 0xFFFFFFFF)
        mixed = _finalise(mixed + (tf.cast(part, tf.uint32) + increment))
    return tf.cast(tf.math.floormod(mixed, np.array(bins, np.uint32)), tf.int32)


def _finalise(h: tf.Tensor) -> tf.Tensor:
    """Every bit of the uint32 depends on every other."""
    h = tf.bitwise.bitwise_xor(h, tf.bitwise.right_shift(h, np.uint32(16)))
    h *= np.uint32(0x85EBCA6B)
    h = tf.bitwise.bitwise_xor(h, tf.bitwise.right_shift(h, np.uint32(13)))
    h *= np.uint32(0xC2B2AE35)
    return tf.bitwise.bitwise_xor(h, tf.bitwise.right_shift(h, np.uint32(16)))


def _radians(degrees: tf.Tensor) -> tf.Tensor:
    return degrees * (math.pi / 180.0)


def _days_before_month(months: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Days from 1970-01-01 to the first of a month, and the month's days; counted from year 0."""
    era = tf.math.floordiv(months, _MONTHS_PER_ERA)
    months -= era * _MONTHS_PER_ERA
    # One gather for both; months outside the year, which are no date, stay within the table.
    starts = np.arange("0000-01", "0400-02", dtype="datetime64[M]").astype("datetime64[D]")
    firsts = starts.astype(np.int32)
    table = np.stack([firsts[:-1], np.diff(firsts)], axis=1)
    days, num_days = tf.unstack(tf.gather_nd(table, months[:, tf.newaxis]), axis=1)
    return days + era * _DAYS_PER_ERA, num_days


def year_of(days: tf.Tensor) -> tf.Tensor:
    """Year of a day since 1970-01-01, int32 as the days are."""
    return _year_and_month(days)[0]


def _year_and_month(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Year and month 0..11 of a day since 1970-01-01."""
    era = tf.math.floordiv(days, _DAYS_PER_ERA)
    months = tf.cast(tf.gather(_months_of_era(), days - era * _DAYS_PER_ERA), tf.int32)
    years = months // 12
    return years + era * 400 + 1970, months - years * 12


@functools.lru_cache(maxsize=1)
def _months_of_era() -> np.ndarray:
    """Months since 1970-01 of each day until 2370, uint16: the calendar repeats after 400 years.

    0.3 MB; the dozen whole-number divisions of a formula take 40 ns a row, where this takes 6.
    """
    days = np.arange(_DAYS_PER_ERA).astype("datetime64[D]")
    return days.astype("datetime64[M]").astype(np.uint16)
