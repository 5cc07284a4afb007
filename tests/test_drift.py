"""trainer.insight.drift and scripts/drift.py: files with a planted shift and without."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from trainer.config import parse_config
from trainer.errors import UserError
from trainer.insight.drift import format_drift, measure_drift, parse_thresholds
from trainer.model import train_and_evaluate

SCRIPT = Path(__file__).parents[1] / "scripts/drift.py"


def _write(path, seed, size, **shifts):
    """Rows with a label only where it is asked for; `shifts` move the columns that they name."""
    random = np.random.default_rng(seed)
    share = 0.6 + shifts.get("city", 0.0)
    hours = random.integers(0, 24, size)
    hours = np.where(random.random(size) < shifts.get("at", 0.0), 3, hours)
    table = {
        "x": random.normal(shifts.get("x", 0.0), 1, size),
        "z": random.exponential(1, size),
        "city": np.where(random.random(size) < share, "York", "Bath"),
        "at": [f"2026-01-01 {hour:02}:30:00" for hour in hours],
    }
    if "label" in shifts:
        table["y"] = table["x"] + random.normal(size=size)
    pa.csv.write_csv(pa.table(table), path)
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    columns = {
        "x": "numeric",
        "z": "numeric",
        "city": "categorical",
        "at": {"kind": "datetime", "parts": ["hour"]},
    }
    config = parse_config(
        {
            "data": {"train": _write(folder / "train.csv", 0, 20_000, label=1)},
            "columns": columns,
            "label": {"column": "y", "task": "regression"},
            "model": {"hidden_units": [4]},
            "training": {"steps": 20},
            "evaluation": {"baseline": "none", "report": "none"},
            "output": {"job_dir": str(folder / "run")},
        },
        "test",
    )
    train_and_evaluate(config)
    return str(folder / "run")


def _flagged(found):
    return {drift.column for drift in found if drift.is_drift}


@pytest.mark.parametrize("size", [100, 1000, 10_000])
def test_unshifted_files_are_not_flagged_and_shifted_ones_are(model, tmp_path, size):
    """By chance alone, threshold 0: of 20 tables at most one or two, and every shifted column."""
    num_flagged = 0
    for seed in range(1, 21):
        path = _write(tmp_path / f"same-{seed}.csv", seed, size)
        num_flagged += bool(_flagged(measure_drift(model, [path], threshold=0)))
    # 95% of the binomial distribution of 20 tables with 5% each.
    assert num_flagged <= 3
    step = np.sqrt(1000 / size)
    shifts = {"x": 0.5 * step, "city": 0.12 * step, "at": min(0.9, 0.15 * step)}
    for seed in range(1, 6):
        path = _write(tmp_path / f"moved-{seed}.csv", seed, size, **shifts)
        assert _flagged(measure_drift(model, [path], threshold=0)) == {"x", "city", "at.hour"}


def test_a_threshold_lets_small_shifts_pass(model, tmp_path):
    path = _write(tmp_path / "moved.csv", 1, 4000, x=2.5, city=0.2)
    found = {drift.column: drift for drift in measure_drift(model, [path])}
    assert {name for name, drift in found.items() if drift.is_drift} == {"x"}
    assert found["city"].distance == pytest.approx(0.2, abs=0.03)
    assert found["city"].measure == "linf"
    assert found["x"].distance == found["x"].js > 0.3
    lower = measure_drift(model, [path], of_columns={"city": 0.1})
    assert _flagged(lower) == {"x", "city"}


def test_a_column_that_goes_missing_drifts(model, tmp_path):
    path = _write(tmp_path / "same.csv", 1, 500)
    lines = Path(path).read_text().splitlines()
    empty = [lines[0], *("," + line.split(",", 1)[1] for line in lines[1:])]
    Path(path).write_text("\n".join(empty) + "\n")
    assert _flagged(measure_drift(model, [path])) == {"x"}


def test_the_script_says_drift_by_its_exit_code(model, tmp_path, capsys):
    same = _write(tmp_path / "same.csv", 1, 1000)
    moved = _write(tmp_path / "moved.csv", 1, 1000, x=3.0)

    def call(*arguments):
        command = [sys.executable, str(SCRIPT), f"--model={model}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    # These in this process: no import of TensorFlow more.
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main([f"--model={model}", same]) == 0
    assert "DRIFT" not in capsys.readouterr().out
    assert main([f"--model={model}", str(tmp_path / "nowhere*.csv")]) == 2
    assert "nowhere" in capsys.readouterr().err
    drifted = call(moved, f"--json={tmp_path / 'drift.json'}")
    assert drifted.returncode == 3
    assert drifted.stdout.splitlines()[1].startswith("x ")
    assert drifted.stdout.splitlines()[1].endswith("DRIFT")
    rows = json.loads((tmp_path / "drift.json").read_text())
    assert [row["column"] for row in rows if row["is_drift"]] == ["x"]


def test_mistakes_are_said(model, tmp_path):
    path = _write(tmp_path / "same.csv", 1, 10)
    with pytest.raises(UserError, match="no column 'citi'; did you mean 'city'"):
        measure_drift(model, [path], of_columns={"citi": 0.1})
    (tmp_path / "empty.csv").write_text("x,z,city,at\n")
    with pytest.raises(UserError, match="no rows in"):
        measure_drift(model, [str(tmp_path / "empty.csv")])
    for text in ("much", "x=2", "-0.1"):
        with pytest.raises(UserError, match="--threshold must be a number from 0 to 1"):
            parse_thresholds([text])


def test_the_table_has_a_line_for_each_column(model, tmp_path):
    found = measure_drift(model, [_write(tmp_path / "same.csv", 1, 50)])
    lines = format_drift(found).splitlines()
    assert len(lines) == 1 + len(found) == 5
    assert lines[0].split()[:3] == ["column", "measure", "distance"]
