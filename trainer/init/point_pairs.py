"""Latitudes and longitudes among the columns, and the ways between two points.

Imports column_profile and numpy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from trainer.insight.column_profile import ColumnProfile

_LATITUDES = frozenset(("lat", "latitude"))
_LONGITUDES = frozenset(("lon", "lng", "long", "longitude"))
_STARTS = frozenset(
    ("pickup", "start", "origin", "orig", "from", "src", "source", "begin", "departure", "dep")
)
_ENDS = frozenset(
    ("dropoff", "end", "dest", "destination", "to", "finish", "arrival", "arr", "stop")
)
# Of the values that have to lie on the globe; a few typing errors do not make another column.
_ON_GLOBE_SHARE = 0.99


class Point(NamedTuple):
    """A pair of columns in degrees, and what else their names say, as 'pickup'."""

    role: str
    latitude: str
    longitude: str


class Way(NamedTuple):
    """From one point to another: a geo column."""

    name: str
    start: Point
    end: Point

    @property
    def options(self) -> dict[str, object]:
        """As in the YAML."""
        return {
            "kind": "geo",
            "from_point": [self.start.latitude, self.start.longitude],
            "to_point": [self.end.latitude, self.end.longitude],
        }


def find_points(profiles: Mapping[str, ColumnProfile]) -> list[Point]:
    """Pairs of numeric columns whose names and values are those of places."""
    found: dict[str, dict[str, str]] = {}
    for name, profile in profiles.items():
        words = _words(name)
        for axis, axis_words, bound in (("lat", _LATITUDES, 90.0), ("lon", _LONGITUDES, 180.0)):
            if axis_words & set(words) and _is_within(profile, bound):
                role = "_".join(word for word in words if word not in axis_words)
                found.setdefault(role, {})[axis] = name
    return [Point(role, p["lat"], p["lon"]) for role, p in found.items() if len(p) == 2]


def find_way(points: list[Point], taken: frozenset[str]) -> Way | None:
    """The way between two points; None where there are fewer, or more that no word tells apart.

    Args:
        points: of the table.
        taken: names of its columns, which the way must not have.
    """
    starts = [p for p in points if _STARTS & set(p.role.split("_"))]
    ends = [p for p in points if _ENDS & set(p.role.split("_")) and p not in starts]
    if len(points) == 2:
        start = (starts or [p for p in points if p not in ends])[0]
        end = next(p for p in points if p != start)
    elif len(starts) == 1 and len(ends) == 1:
        start, end = starts[0], ends[0]
    else:
        return None
    name = next(n for n in ("trip", "way", "way_between_points") if n not in taken)
    return Way(name, start, end)


def _words(name: str) -> list[str]:
    """The words of pickup_latitude, pickupLatitude and lat2."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def _is_within(profile: ColumnProfile, bound: float) -> bool:
    if profile.numbers is None or profile.distinct < 2:
        return False
    values = profile.values[np.isfinite(profile.values)]
    return bool((np.abs(values) <= bound).mean() >= _ON_GLOBE_SHARE)
