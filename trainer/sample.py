"""The embedded sample: generated taxi rides in New York whose best reachable error is known.

A ride costs what the published tariff of its day says, plus Gaussian noise of NOISE_SD_DOLLARS. So
the tariff itself, `expected_fares`, is the best model there is, to within 0.0002 dollars that
MINIMUM_FARE leaves: its RMSE is 0.993 dollars on the 5,000 rows of test.csv, 0.991 on the 40,000
training rows and on valid.csv. Predicting the mean training fare gives 8.83. Nothing was observed:
rides begin and end roughly where those of the public taxi export do, the traffic is made up.

Columns, order and format are those of that export, but `fare_amount` is the whole amount due before
the tip, surcharges and taxes included, rounded to cents. As in the export, the times are New York
local time although they are labelled UTC.

Imports numpy and pyarrow, not TensorFlow; reads no clock and no environment.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from trainer.errors import UserError
from trainer.taxi_tariff import AIRPORTS, MILES_PER_DEGREE, fare_dollars, shores, to_degrees

NOISE_SD_DOLLARS = 1.00
MINIMUM_FARE = 2.50
FIRST_DAY = np.datetime64("2009-01-01")
LAST_DAY = np.datetime64("2015-06-30")

SAMPLE_SEED = 20090101
NUM_ROWS_BY_FILE = {
    "train-00000-of-00002.csv": 20_000,
    "train-00001-of-00002.csv": 20_000,
    "valid.csv": 5_000,
    "test.csv": 5_000,
}

SOUTH_END, NORTH_END = -3.9, 5.5
MEAN_RIDE_UPTOWN_MILES = 1.45
# fmt: off
# Share of Manhattan's pickups south of a place uptown, and of rides by hour and by passengers (1 to
# 6, without effect on the fare); the export's, roughly.
PICKUPS_SOUTH_OF = np.array([
    (SOUTH_END, 0.0), (-3.0, 0.047), (-2.6, 0.066), (-2.2, 0.107), (-1.4, 0.243), (-0.6, 0.395),
    (-0.2, 0.476), (0.2, 0.585), (0.6, 0.681), (1.0, 0.764), (1.8, 0.876), (2.2, 0.927),
    (2.6, 0.962), (3.4, 0.983), (4.2, 0.995), (NORTH_END, 1.0),
])
PERCENT_OF_RIDES_BY_HOUR = [
    4.0, 3.0, 2.2, 1.6, 1.2, 1.0, 2.1, 3.6, 4.5, 4.7, 4.6, 4.7,
    5.0, 5.0, 5.1, 4.9, 4.2, 5.0, 6.0, 6.3, 5.9, 5.7, 5.6, 4.9,
]
PERCENT_OF_RIDES_BY_PASSENGERS = [70.0, 15.0, 4.0, 2.0, 6.0, 3.0]
# fmt: on


class Place(NamedTuple):
    """A disc of land outside Manhattan, and the shares of all rides that begin and end there."""

    center: tuple[float, float]  # longitude, latitude
    radius_miles: float
    pickup_share: float
    dropoff_share: float


PLACES = {
    "JFK": Place(AIRPORTS["JFK"], 0.6, 0.016, 0.009),
    "LaGuardia": Place(AIRPORTS["LaGuardia"], 0.35, 0.022, 0.015),
    "Newark": Place(AIRPORTS["Newark"], 0.6, 0.0, 0.0015),
    "Williamsburg": Place((-73.9550, 40.7140), 0.5, 0.008, 0.016),
    "Downtown Brooklyn": Place((-73.9860, 40.6900), 0.5, 0.010, 0.018),
    "Park Slope": Place((-73.9790, 40.6700), 0.6, 0.006, 0.012),
    "Long Island City": Place((-73.9380, 40.7480), 0.5, 0.005, 0.012),
    "Astoria": Place((-73.9200, 40.7650), 0.5, 0.005, 0.010),
    "Jackson Heights": Place((-73.8850, 40.7490), 0.6, 0.001, 0.006),
    "Forest Hills": Place((-73.8500, 40.7200), 0.7, 0.001, 0.004),
    "South Bronx": Place((-73.9150, 40.8200), 0.5, 0.001, 0.006),
}
PLACE_NAMES = list(PLACES)
MANHATTAN = len(PLACES)  # its index, behind those of PLACE_NAMES


def write_sample(directory: Path | str) -> None:
    """Write the files of NUM_ROWS_BY_FILE, without a header, into `directory`, made if needed.

    A complete sample is left as it is. Files appear whole, so processes may write the same one.

    Raises:
        UserError: when the folder cannot be made or written.
    """
    directory = Path(directory)
    if all((directory / name).is_file() for name in NUM_ROWS_BY_FILE):
        return
    rides = generate_rides(sum(NUM_ROWS_BY_FILE.values()), SAMPLE_SEED)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        first_row = 0
        for name, num_rows in NUM_ROWS_BY_FILE.items():
            _write_csv(rides.slice(first_row, num_rows), directory / name)
            first_row += num_rows
    except OSError as error:
        raise UserError(
            f"cannot write the sample to {directory}: {error.strerror or error}; "
            "expected a folder that can be made and written. Name another one."
        ) from error


def generate_rides(num_rows: int, seed: int) -> pa.Table:
    """Make rides from `seed` alone; `key` counts them from 0. A ride depends on `num_rows` too."""
    rng = np.random.Generator(np.random.Philox(seed))
    pickup_time = _draw_times(rng, num_rows)
    pickup, dropoff = _draw_ends(rng, num_rows)
    passengers = 1 + _draw_index(rng.random(num_rows), PERCENT_OF_RIDES_BY_PASSENGERS)
    noise = NOISE_SD_DOLLARS * rng.standard_normal(num_rows)
    fare = np.round(np.maximum(fare_dollars(pickup_time, pickup, dropoff) + noise, MINIMUM_FARE), 2)
    iso_time = pa.array(np.datetime_as_string(pickup_time, unit="s"), pa.string())
    return pa.table(
        {
            "fare_amount": fare,
            "pickup_datetime": pc.binary_join_element_wise(
                pc.replace_substring(iso_time, "T", " "), "UTC", " "
            ),
            "pickup_longitude": pickup[:, 0],
            "pickup_latitude": pickup[:, 1],
            "dropoff_longitude": dropoff[:, 0],
            "dropoff_latitude": dropoff[:, 1],
            "passenger_count": passengers,
            "key": np.arange(num_rows),
        }
    )


def expected_fares(table: pa.Table) -> np.ndarray:
    """Fare of each ride by the tariff, in dollars without the noise; (N,) float64."""
    time_text = np.array(table["pickup_datetime"].to_pylist(), dtype="U19")  # cuts " UTC"
    pickup, dropoff = (
        np.column_stack([table[f"{end}_{axis}"].to_numpy() for axis in ("longitude", "latitude")])
        for end in ("pickup", "dropoff")
    )
    return fare_dollars(time_text.astype("datetime64[s]"), pickup, dropoff)


def best_rmse(table: pa.Table) -> float:
    """Error in dollars that no model of these rides beats, but by luck: that of the tariff."""
    residual = table["fare_amount"].to_numpy() - expected_fares(table)
    return float(np.sqrt(np.mean(residual**2)))


def _draw_times(rng: np.random.Generator, num_rows: int) -> np.ndarray:
    num_days = int((LAST_DAY - FIRST_DAY).astype(np.int64)) + 1
    day = (rng.random(num_rows) * num_days).astype(np.int64)
    hour = _draw_index(rng.random(num_rows), PERCENT_OF_RIDES_BY_HOUR)
    second = (rng.random(num_rows) * 3600).astype(np.int64)
    return FIRST_DAY.astype("datetime64[s]") + (day * 24 + hour) * 3600 + second


def _draw_ends(rng: np.random.Generator, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw pickups and drop-offs, each (N, 2) degrees."""
    pickup_shares = [place.pickup_share for place in PLACES.values()]
    dropoff_shares = [place.dropoff_share for place in PLACES.values()]
    pickup_place = _draw_index(rng.random(num_rows), [*pickup_shares, 1 - sum(pickup_shares)])
    dropoff_place = _draw_index(rng.random(num_rows), [*dropoff_shares, 1 - sum(dropoff_shares)])
    # Nobody rides from an airport to itself, nor to Newark but from Manhattan.
    is_newark = dropoff_place == PLACE_NAMES.index("Newark")
    is_odd = (dropoff_place == pickup_place) | (is_newark & (pickup_place != MANHATTAN))
    dropoff_place = np.where(is_odd, MANHATTAN, dropoff_place)

    pickup_uptown = np.interp(rng.random(num_rows), *PICKUPS_SOUTH_OF[:, ::-1].T)
    fresh_uptown = np.interp(rng.random(num_rows), *PICKUPS_SOUTH_OF[:, ::-1].T)
    step = -MEAN_RIDE_UPTOWN_MILES * np.log1p(-rng.random(num_rows))
    stepped = pickup_uptown + np.where(rng.random(num_rows) < 0.5, -step, step)
    stepped = np.where(stepped < SOUTH_END, 2 * SOUTH_END - stepped, stepped)  # turned back at the
    stepped = np.where(stepped > NORTH_END, 2 * NORTH_END - stepped, stepped)  # ends of the island
    stepped = np.clip(stepped, SOUTH_END, NORTH_END)
    dropoff_uptown = np.where(pickup_place == MANHATTAN, stepped, fresh_uptown)
    return (
        _draw_points(rng, pickup_place, pickup_uptown),
        _draw_points(rng, dropoff_place, dropoff_uptown),
    )


def _draw_points(rng: np.random.Generator, place: np.ndarray, uptown: np.ndarray) -> np.ndarray:
    """Draw a point in each ride's place: in Manhattan between the shores, elsewhere in the disc."""
    across, radius, angle = rng.random((3, len(place)))
    west, east = shores(uptown)
    crosstown = west + (0.03 + 0.94 * across) * (east - west)  # off the water's edge
    manhattan = to_degrees(np.column_stack([uptown, crosstown]))

    discs = np.array([(*p.center, p.radius_miles) for p in PLACES.values()] + [(0.0, 0.0, 0.0)])[
        place
    ]
    miles = discs[:, 2] * np.sqrt(radius)
    direction = np.column_stack([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)])
    in_disc = np.round(discs[:, :2] + miles[:, None] * direction / MILES_PER_DEGREE, 6)
    return np.where((place == MANHATTAN)[:, None], manhattan, in_disc)


def _draw_index(uniform: np.ndarray, shares: list[float]) -> np.ndarray:
    cumulative = np.cumsum(shares) / np.sum(shares)
    return np.minimum(np.searchsorted(cumulative, uniform, side="right"), len(cumulative) - 1)


def _write_csv(table: pa.Table, path: Path) -> None:
    partial_path = path.with_name(f".{path.name}.{os.getpid()}.partial")
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    csv.write_csv(table, str(partial_path), options)
    os.replace(partial_path, path)


def main(argv: list[str]) -> int:
    """Write the sample into the folder named in `argv`; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer.sample", description="Write the embedded sample: taxi rides, CSV."
    )
    parser.add_argument("directory", help="folder to write to; made if needed")
    directory = parser.parse_args(argv).directory
    try:
        write_sample(directory)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{sum(NUM_ROWS_BY_FILE.values())} rides in {directory}: {', '.join(NUM_ROWS_BY_FILE)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
