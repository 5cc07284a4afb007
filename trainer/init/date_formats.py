"""Whether texts or whole numbers are points in time, and in which format of the trainer.

Imports columns and numpy.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainer.columns import DATE_PART_SIZES, FIRST_YEAR, parse_datetime_format

# The more telling first: the first that fits all values is taken.
FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d-%m-%Y %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y%m%d%H%M%S",
    "%Y%m%d",
    "%Y-%m",
)
# Behind the format may stand what the trainer ignores: fractions of a second and a zone.
_REST = re.compile(
    r"(?:[.,]\d{1,9})?\s?(?:Z|UTC|GMT|[A-Z]{3,4}|[+-]\d{2}:?\d{2})?|[T ]00:00:00.*", re.A
)
_TIME_NAME = re.compile(
    r"(?:^|[_\W])(?:date|time|datetime|timestamp|stamp|ts|epoch|at|on|when|created|updated)"
    r"(?:$|[_\W\d])|(?:date|time|stamp)$",
    re.I,
)
_UNPADDED = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{2,4}\b.*|\d{4}([/.-])\d{1,2}\2\d{1,2}\b.*", re.A)
# Least distinct values, so that a constant or a flag is no date.
_LEAST_VALUES = 3
_EPOCH_YEARS = (1990, 2100)


class TimeFormat(NamedTuple):
    """A format, with the times that the values then are."""

    format: str
    seconds: npt.NDArray[np.int64]  # (K,) since 1970, one a token
    other: str | None  # another format that fits as well: day and month cannot be told apart

    def parts(self) -> tuple[str, ...]:
        """Parts that differ between values, coarse to fine; hour, not the minute of day."""
        days = self.seconds // 86_400
        dates = days.astype("datetime64[D]")
        years = dates.astype("datetime64[Y]").astype(int) + 1970
        within = (years >= FIRST_YEAR) & (years < FIRST_YEAR + DATE_PART_SIZES["year"])
        values = {
            "year": years if within.all() else years[:0],
            "month": dates.astype("datetime64[M]").astype(int) % 12,
            "day_of_week": (days + 3) % 7,
            "hour": self.seconds % 86_400 // 3600,
        }
        return tuple(part for part, found in values.items() if len(np.unique(found)) > 1)


def find_format(
    name: str, tokens: Sequence[str], numbers: npt.NDArray[np.float64] | None
) -> TimeFormat | None:
    """The format in which every value is a time; None where there is none.

    Counts since 1970 are taken for times only where all lie from 1990 to 2100 and the name of the
    column speaks of time, for ids and prices have such sizes too.

    Args:
        name: of the column.
        tokens: its K distinct values.
        numbers: the values as numbers, None where they are none.
    """
    if len(tokens) < _LEAST_VALUES:
        return None
    fitting = []
    for pattern in FORMATS:
        seconds = _parse(tokens, pattern)
        if seconds is not None:
            fitting.append((pattern, seconds))
    if fitting:
        pattern, seconds = fitting[0]
        rivals = [p for p, _ in fitting[1:] if sorted(p) == sorted(pattern)]
        return TimeFormat(pattern, seconds, rivals[0] if rivals else None)
    if numbers is None or not _TIME_NAME.search(name) or (numbers != np.floor(numbers)).any():
        return None
    for unit, pattern in ((1, "epoch_seconds"), (1000, "epoch_milliseconds")):
        low, high = (unit * _seconds_of(year) for year in _EPOCH_YEARS)
        if low <= numbers.min() and numbers.max() < high:
            return TimeFormat(pattern, (numbers // unit).astype(np.int64), None)
    return None


def looks_like_unpadded_date(tokens: Sequence[str]) -> bool:
    """Whether the values are dates such as 1/2/2013, which the trainer cannot read."""
    some = tokens[:200]
    return len(some) >= _LEAST_VALUES and all(_UNPADDED.fullmatch(text.strip()) for text in some)


def _seconds_of(year: int) -> int:
    return int((datetime.date(year, 1, 1) - datetime.date(1970, 1, 1)).total_seconds())


def _parse(tokens: Sequence[str], pattern: str) -> npt.NDArray[np.int64] | None:
    """(K,) seconds since 1970; None where a value does not fit."""
    match = _expression(pattern)
    fields = []
    for text in tokens:
        found = match.fullmatch(text)
        if found is None:
            return None
        fields.append(found.groupdict())
    seconds = np.empty(len(fields), np.int64)
    for place, field in enumerate(fields):
        parts = [
            int(field.get(k) or default) for k, default in zip("YmdHMS", "011000", strict=True)
        ]
        try:
            year, month, day, hour, minute, second = parts
            # A leap second is the last second of its minute.
            time = datetime.datetime(year, month, day, hour, minute, min(second, 59))
        except ValueError:
            return None
        if not 1900 <= time.year < 2100:
            return None
        seconds[place] = (time - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)
    return seconds


def _expression(pattern: str) -> re.Pattern[str]:
    positions, _ = parse_datetime_format(pattern)
    text = re.escape(pattern)
    for letter, (_, width) in positions.items():
        text = text.replace(re.escape(f"%{letter}"), rf"(?P<{letter}>\d{{{width}}})")
    # A format of digits alone is the whole value, or any long number would begin with it.
    rest = "" if pattern.replace("%", "").isalpha() else f"(?:{_REST.pattern})"
    return re.compile(text + rest, re.A)
