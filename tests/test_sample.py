import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trainer import sample
from trainer.errors import UserError

REPOSITORY_DIR = Path(__file__).resolve().parent.parent
COLUMNS = [
    "fare_amount",
    "pickup_datetime",
    "pickup_longitude",
    "pickup_latitude",
    "dropoff_longitude",
    "dropoff_latitude",
    "passenger_count",
    "key",
]
NUM_ROWS = {
    "test.csv": 5_000,
    "train-00000-of-00002.csv": 20_000,
    "train-00001-of-00002.csv": 20_000,
    "valid.csv": 5_000,
}


def run_python(*arguments: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY_DIR,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def read_rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def to_table(rows: list[list[str]]) -> pa.Table:
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    return pa.table(
        {
            name: list(values) if name == "pickup_datetime" else [float(v) for v in values]
            for name, values in columns.items()
        }
    )


@pytest.fixture(scope="module")
def rides() -> pa.Table:
    return sample.generate_rides(20_000, seed=7)


@pytest.fixture(scope="module")
def sample_dir(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("sample") / "made" / "here"
    sample.write_sample(directory)
    return directory


def test_columns_are_those_of_the_export_in_its_order(rides):
    assert rides.column_names == COLUMNS
    assert rides["key"].to_pylist() == list(range(20_000))
    assert set(rides["passenger_count"].to_pylist()) == {1, 2, 3, 4, 5, 6}


def test_times_span_the_export_and_are_labelled_as_in_it(rides):
    times = sorted(rides["pickup_datetime"].to_pylist())
    assert times[0][:10] == "2009-01-01"
    assert times[-1][:10] == "2015-06-30"
    assert all(len(time) == 23 and time.endswith(" UTC") for time in times)


def test_noise_is_gaussian_of_the_stated_size(rides):
    expected = sample.expected_fares(rides)
    noise = (rides["fare_amount"].to_numpy() - expected)[expected > 7.0]  # out of the floor's reach
    standard_error = 1.00 / np.sqrt(len(noise))
    assert sample.NOISE_SD_DOLLARS == 1.00
    assert abs(noise.mean()) < 4 * standard_error
    assert abs(noise.std() - 1.00) < 4 * standard_error
    for sigmas, share in [(1, 0.6827), (2, 0.9545)]:
        assert np.mean(np.abs(noise) < sigmas) == pytest.approx(share, abs=0.015)


def test_fares_are_in_cents_and_at_least_the_minimum(rides):
    fares = rides["fare_amount"].to_numpy()
    assert fares.min() == 2.50
    np.testing.assert_allclose(fares * 100, np.round(fares * 100), atol=1e-6)


def test_expected_fare_of_a_single_ride():
    # Half a mile west of Times Square along a street, Wednesday 3 at night: 2.5 fifths, at 19 mph
    # 0.08 minutes standing, so 2 units begun after the first; night surcharge and tax.
    east, north = -0.5 * np.cos(np.radians(29)), 0.5 * np.sin(np.radians(29))
    row = ["0", "2013-03-13 03:00:00 UTC", "-73.9857", "40.7577"]
    row += [str(-73.9857 + east / 52.4), str(40.7577 + north / 69.0), "1", "0"]
    assert sample.expected_fares(to_table([row])) == pytest.approx([2.50 + 2 * 0.50 + 0.50 + 0.50])


def test_rides_lie_where_the_city_is(rides):
    for end, in_manhattan, at_jfk, at_newark in [
        ("pickup", 0.925, 0.016, 0.0),
        ("dropoff", 0.89, 0.009, 0.0014),
    ]:
        longitude = rides[f"{end}_longitude"].to_numpy()
        latitude = rides[f"{end}_latitude"].to_numpy()
        box = (longitude > -74.02) & (longitude < -73.925) & (latitude > 40.70) & (latitude < 40.84)
        brooklyn = (longitude > -73.972) & (latitude < 40.725)
        queens = (longitude > -73.948) & (latitude < 40.775)
        assert np.mean(box & ~brooklyn & ~queens) == pytest.approx(in_manhattan, abs=0.02)
        jfk = np.hypot(longitude + 73.7815, latitude - 40.6450) < 0.02
        assert np.mean(jfk) == pytest.approx(at_jfk, abs=0.004)
        newark = longitude < -74.15
        assert np.mean(newark) == pytest.approx(at_newark, abs=0.001)
        # The Hudson and the Upper Bay.
        assert not np.any((longitude < -74.0185) & ~newark)


def test_same_seed_same_rides_and_another_seed_others():
    rides = sample.generate_rides(100, seed=3)
    assert rides.equals(sample.generate_rides(100, seed=3))
    assert not rides.equals(sample.generate_rides(100, seed=4))


@pytest.mark.parametrize("num_rows", [0, 1])
def test_few_rides(num_rows):
    assert sample.generate_rides(num_rows, seed=1).num_rows == num_rows


def test_sample_is_split_without_a_header_and_without_overlap(sample_dir):
    assert sorted(path.name for path in sample_dir.iterdir()) == sorted(NUM_ROWS)
    keys = []
    for name, num_rows in NUM_ROWS.items():
        rows = read_rows(sample_dir / name)
        assert {len(row) for row in rows} == {8}
        assert len(rows) == num_rows
        keys += [int(row[7]) for row in rows]
    assert sorted(keys) == list(range(50_000))


def test_best_reachable_error_is_the_documented_one(sample_dir):
    train = [row for i in (0, 1) for row in read_rows(sample_dir / f"train-0000{i}-of-00002.csv")]
    test = to_table(read_rows(sample_dir / "test.csv"))
    assert sample.best_rmse(test) == pytest.approx(0.993, abs=5e-4)
    assert sample.best_rmse(to_table(train)) == pytest.approx(0.991, abs=5e-4)
    mean_fare = np.mean([float(row[0]) for row in train])
    assert np.sqrt(np.mean((test["fare_amount"].to_numpy() - mean_fare) ** 2)) == pytest.approx(
        8.83, abs=5e-3
    )
    for figure in ["0.993", "0.991", "8.83"]:
        assert figure in sample.__doc__


def test_two_processes_write_identical_bytes(sample_dir, tmp_path):
    done = run_python("-m", "trainer.sample", str(tmp_path), PYTHONHASHSEED="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("50000 rides in ")
    for name in NUM_ROWS:
        assert (tmp_path / name).read_bytes() == (sample_dir / name).read_bytes()


def test_complete_sample_is_left_as_is_and_an_incomplete_one_is_written_anew(tmp_path):
    for name in NUM_ROWS:
        (tmp_path / name).write_text("mine\n")
    sample.write_sample(tmp_path)
    assert {(tmp_path / name).read_text() for name in NUM_ROWS} == {"mine\n"}

    (tmp_path / "test.csv").unlink()
    sample.write_sample(str(tmp_path))
    assert {name: len(read_rows(tmp_path / name)) for name in NUM_ROWS} == NUM_ROWS
    assert len(list(tmp_path.iterdir())) == 4


def test_folder_that_cannot_be_made_is_a_user_error(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"cannot write the sample to .*file/x: Not a directory; exp"
    ):
        sample.write_sample(tmp_path / "file" / "x")
    assert sample.main([str(tmp_path / "file")]) == 2
    assert "error: cannot write the sample to " in capsys.readouterr().err


def test_import_loads_no_tensorflow():
    done = run_python("-c", "import sys, trainer.sample; print('tensorflow' in sys.modules)")
    assert done.stdout == "False\n"
