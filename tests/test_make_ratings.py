"""scripts/make_ratings.py on files laid out as the package has them."""

import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "make_ratings.py"
USERS = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
MOVIES = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
RATINGS = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


@pytest.fixture
def package(tmp_path):
    """A folder for PYTHONPATH: 30 users rate 4 movies, movie m with m + 2 stars."""
    folder = tmp_path / "site" / "recbole" / "dataset_example" / "ml-100k"
    folder.mkdir(parents=True)
    # Importing it fails, as the real one does without PyTorch.
    (tmp_path / "site/recbole/__init__.py").write_text("import no_such_module\n")
    users = "".join(f"{u}\t{20 + u}\tF\twriter\t{90000 + u}\n" for u in range(30))
    (folder / "ml-100k.user").write_text(USERS + users)
    movies = [
        "Toy Story\t1995\tAnimation Comedy",
        "Kolya\t1996\tComedy",
        "X\t\t",
        "Up\t2009\tDrama",
    ]
    lines = "".join(f"{m}\t{movie}\n" for m, movie in enumerate(movies))
    (folder / "ml-100k.item").write_text(MOVIES + lines)
    ratings = "".join(f"{u}\t{m}\t{m + 2}\t{880000000 + u}\n" for u in range(30) for m in range(4))
    (folder / "ml-100k.inter").write_text(RATINGS + ratings)
    return tmp_path / "site"


def run_script(*arguments, path):
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_rating_is_in_the_part_of_its_digest(package, tmp_path):
    done = run_script(tmp_path / "out", path=package)
    assert (done.returncode, done.stderr) == (0, "")
    bounds = {"train": range(80), "valid": range(80, 90), "test": range(90, 100)}
    parts = {name: read(tmp_path / "out" / f"{name}.csv") for name in bounds}
    assert sum(map(len, parts.values())) == 120
    for name, rows in parts.items():
        for row in rows:
            digest = hashlib.md5(f"{row['user_id']}-{row['movie_id']}".encode()).digest()
            assert int.from_bytes(digest, "big") % 100 in bounds[name]
            assert row["liked"] == str(int(int(row["movie_id"]) + 2 >= 4))


def test_a_row_has_its_user_and_its_movie(package, tmp_path):
    run_script(tmp_path / "out", path=package)
    rows = [
        row for name in ("train", "valid", "test") for row in read(tmp_path / f"out/{name}.csv")
    ]
    by_pair = {(row["user_id"], row["movie_id"]): row for row in rows}
    assert by_pair["7", "0"] == {
        "liked": "0",
        "user_id": "7",
        "movie_id": "0",
        "timestamp": "880000007",
        "age": "27",
        "gender": "F",
        "occupation": "writer",
        "title": "Toy Story",
        "release_year": "1995",
        "region": "900",
        "genres": "Animation|Comedy",
    }
    assert (by_pair["7", "2"]["genres"], by_pair["7", "2"]["release_year"]) == ("", "")


def test_missing_package_is_named_with_what_to_do(tmp_path):
    done = run_script(tmp_path / "out", path=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: package recbole is needed")
    assert done.stderr.endswith("do: pip install --no-deps recbole\n")
    assert not (tmp_path / "out").exists()
