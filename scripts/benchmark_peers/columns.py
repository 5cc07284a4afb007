"""The two sets of columns that all contenders are given, so that they learn from the same.

COURSE: raw taxi rides as CSV, with the features of the course's wide-and-deep lab: numbers, buckets
of the coordinates, parts of the date, and their crosses.
PREPARED: ids and numbers that are made already, for the contenders that read no files.

Imports nothing but the standard library: the contenders run under other interpreters too.
"""

from __future__ import annotations

HIDDEN_UNITS = (64, 32)
EMBEDDING_DIM = 8

# Fields of the CSV file, in order; it has no header line.
FIELDS = (
    "fare_amount",
    "pickup_datetime",
    "pickup_longitude",
    "pickup_latitude",
    "dropoff_longitude",
    "dropoff_latitude",
    "passenger_count",
    "key",
)
LABEL = "fare_amount"
COORDINATES = FIELDS[2:6]
NUMBERS = (*COORDINATES, "passenger_count")
DATE = "pickup_datetime"

# Inner edges of the cells of the map: 10 edges, 11 buckets a coordinate.
NUM_BUCKETS = 11
_BOUNDS = {"longitude": (-74.05, -73.75), "latitude": (40.60, 40.90)}
EDGES = {
    name: tuple(
        round(low + (high - low) * i / (NUM_BUCKETS - 2), 6) for i in range(NUM_BUCKETS - 1)
    )
    for name in COORDINATES
    for low, high in (_BOUNDS[name.partition("_")[2]],)
}

# Id features of COURSE by name: how many different ids. The crosses are exact.
PARTS = {"day_of_week": 7, "hour": 24}
BUCKETS = {f"{name}_bucket": name for name in COORDINATES}
CROSSES = {
    "day_of_week_x_hour": ("day_of_week", "hour"),
    "pickup_cell": ("pickup_longitude_bucket", "pickup_latitude_bucket"),
    "dropoff_cell": ("dropoff_longitude_bucket", "dropoff_latitude_bucket"),
    "trip_cells": tuple(BUCKETS),
}
COURSE_SIZES = {
    **PARTS,
    **dict.fromkeys(BUCKETS, NUM_BUCKETS),
    "day_of_week_x_hour": 7 * 24,
    "pickup_cell": NUM_BUCKETS**2,
    "dropoff_cell": NUM_BUCKETS**2,
    "trip_cells": NUM_BUCKETS**4,
}
# Those with an embedding in the deep part; the wide part has all of COURSE_SIZES.
EMBEDDED = (*PARTS, *CROSSES)
# Mean and standard deviation by which the deep part scales a number of COURSE.
SCALES = {
    "pickup_longitude": (-73.97, 0.04),
    "pickup_latitude": (40.75, 0.03),
    "dropoff_longitude": (-73.97, 0.04),
    "dropoff_latitude": (40.75, 0.03),
    "passenger_count": (1.7, 1.3),
    "distance": (0.035, 0.035),
}

# PREPARED: 8 ids and 5 numbers, so 69 inputs of the deep part.
PREPARED_LABEL = "label"
PREPARED_IDS = {
    "year": 7,
    "month": 12,
    "day_of_week": 7,
    "hour": 24,
    "day_of_week_x_hour": 7 * 24,
    "pickup_cell": NUM_BUCKETS**2,
    "dropoff_cell": NUM_BUCKETS**2,
    "trip_cells": NUM_BUCKETS**4,
}
PREPARED_NUMBERS = NUMBERS


def course_config() -> dict[str, object]:
    """The trainer's config of COURSE, as YAML has it."""
    number = {"kind": "numeric", **PLAIN_NUMBER}
    columns: dict[str, object] = {
        DATE: {"kind": "datetime", "parts": list(PARTS)},
        **{name: {**number, "towers": ["deep"]} for name in NUMBERS},
        "trip": {
            "kind": "geo",
            "from_point": ["pickup_latitude", "pickup_longitude"],
            "to_point": ["dropoff_latitude", "dropoff_longitude"],
            "distances": ["haversine"],
            "towers": ["deep"],
            "numeric": PLAIN_NUMBER,
        },
    }
    for name, source in BUCKETS.items():
        columns[name] = {
            "kind": "bucketized",
            "source": source,
            "edges": list(EDGES[source]),
            "towers": ["wide"],
        }
    return {
        "data": {"column_names": list(FIELDS)},
        "label": {"column": LABEL, "task": "regression"},
        "columns": columns,
        "crosses": [
            {"columns": [_ours(p) for p in parts], "bins": _bins(parts), "towers": ["wide", "deep"]}
            for parts in CROSSES.values()
        ],
        "model": MODEL,
    }


def prepared_config(sizes: dict[str, int] | None = None) -> dict[str, object]:
    """The trainer's config of PREPARED, as YAML has it; `sizes` replaces some id spaces."""
    columns: dict[str, object] = {
        name: {"kind": "identity", "size": size}
        for name, size in {**PREPARED_IDS, **(sizes or {})}.items()
    }
    columns |= {name: {"kind": "numeric", **PLAIN_NUMBER} for name in PREPARED_NUMBERS}
    return {
        "data": {"format": "parquet"},
        "label": {"column": PREPARED_LABEL, "task": "regression"},
        "columns": columns,
        "model": MODEL,
    }


# A number that enters the model as it is, scaled: what the peers do with it.
PLAIN_NUMBER = {
    "piecewise_linear": 0,
    "buckets": 0,
    "embedding_dim": 0,
    "indicators": False,
    "missing": "mean",
    "scale": "zscore",
}
# The layers of the peers, and no dropout, which they do not have either.
MODEL = {
    "hidden_units": list(HIDDEN_UNITS),
    "embedding_dim": EMBEDDING_DIM,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "loss": "mse",
}


def _ours(part: str) -> str:
    """Name of the feature in the trainer's schema."""
    return f"{DATE}.{part}" if part in PARTS else part


def _bins(parts: tuple[str, ...]) -> int:
    """Ids of an exact cross: each part has one more id, for what is missing."""
    product = 1
    for part in parts:
        product *= COURSE_SIZES[part] + 1
    return product
