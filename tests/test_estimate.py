"""The command that estimates: its short runs, and what it prints."""

import json
import os
import subprocess
import sys

import pytest
from runs import ROOT

from trainer.errors import UserError
from trainer.jobs import estimate
from trainer.jobs.costs import ShortRun

CONFIG = """\
data: {train: rows.csv, validation_fraction: 0.2}
columns: {x: numeric, kind: categorical}
label: {column: y, task: regression}
training: {epochs: 3, batch_size: 100}
evaluation: {baseline: constant}
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config with its table of 2,000 rows, in the working folder."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{'abc'[i % 3]},{i % 7 + i % 3}" for i in range(2_000)]
    (tmp_path / "rows.csv").write_text("x,kind,y\n" + "\n".join(rows) + "\n")
    (tmp_path / "mine.yaml").write_text(CONFIG)
    return "mine.yaml"


@pytest.fixture
def short_runs(monkeypatch):
    """The flags of the short runs, which cost nothing here.

    2 s + 0.001 s a row read, 3 s + 0.0005 s a row trained, 20 s for the rest: 25 s fixed.
    """
    seen = []

    def run(flags, job_dir, environ):
        seen.append(flags)
        parts, examples = (
            ({"train": 800, "validation": 200}, 5_000),
            ({"train": 8_000, "validation": 2_000}, 50_000),
        )[len(seen) - 1]
        num_rows = sum(parts.values())
        return ShortRun(
            parts, examples, 0, 2 + num_rows * 0.001, 3 + examples * 0.0005, finish=12.0, start=8.0
        )

    monkeypatch.setattr(estimate, "run_shortly", run)
    return seen


def _numbers(text, *starts):
    """What follows each start of a line, up to two spaces or a comma."""
    lines = [line.strip() for line in text.splitlines()]
    return [
        next(line[len(start) :].strip() for line in lines if line.startswith(start))
        for start in starts
    ]


def test_printed_figures_are_those_computed_by_hand(config, short_runs, capsys):
    """100,000 training and 25,000 validation rows, 3 epochs in batches of 100: 3,000 steps.

    On 20,000 rows and more an evaluation follows every 250 steps (25,000 / 100): 12 of 25,000
    rows, and 25,000 at the end. So 300,000 + 300,000 + 25,000 rows x 0.0005 s = 312.5 s on one
    machine and 156.25 s on two. 125,000 rows x 0.001 s = 125 s. Fixed 25 s + 60 s. In all
    366.25 s on 2 machines: 0.2035 hours; at 5 an hour 1.02.
    """
    estimate.main(
        [
            f"--config={config}",
            "--rows=100,000",
            "--machines=2",
            "--startup_minutes=1",
            "--price_per_hour=5",
        ],
        {},
    )

    out = capsys.readouterr().out
    measured, drawn_out = out.split("estimate for")
    assert _numbers(measured, "read and encode", "train", "fixed") == [
        "1000.00 s per million rows",
        "500.00 s per million rows",
        "25.00 s a run: start 8.0, prepare 2.0, compile 3.0, evaluate and export 12.0",
    ]
    assert drawn_out.startswith(" 100,000 training rows (25,000 for validation, 0 for test), 3000 ")
    assert _numbers(drawn_out, "fixed", "read and encode", "train", "one run", "all", "money") == [
        "1m 25s, of which 1 minutes for the machine to start",
        "2m 05s",
        "2m 36s on 2 machine(s)",
        "6m 06s",
        "0.20 machine hours, 1 run(s)",
        "1.02 at 5 an hour",
    ]
    assert drawn_out.splitlines()[-1].startswith("assumed: a machine is 1 times as fast")


def test_short_runs_differ_in_rows_and_steps_and_keep_the_users_flags(config, short_runs):
    estimate.main(
        [
            f"--config={config}",
            "--rows=1e6",
            "--smoke_rows=10,20",
            "--smoke_steps=3,9",
            "--",
            "--dropout=0.5",
            "--steps",
            "7",
        ],
        {},
    )

    folders = [flag for flags in short_runs for flag in flags if flag.startswith("--job_dir=")]
    assert len(set(folders)) == 2
    assert [[f for f in flags if f not in folders] for flags in short_runs] == [
        [
            f"--config={config}",
            "--dropout=0.5",
            f"--limit_rows={rows}",
            f"--steps={steps}",
            "--batch_size=100",
            "--num_evals=1",
        ]
        for rows, steps in ((10, 3), (20, 9))
    ]


def test_batch_is_that_of_the_real_run(tmp_path, config, short_runs):
    """On 20,000 rows and more the trainer takes 1024 rows a step, and 256 below."""
    (tmp_path / config).write_text(CONFIG.replace(", batch_size: 100", ""))

    estimate.main([f"--config={config}", "--rows=1e6"], {})

    assert all("--batch_size=1024" in flags for flags in short_runs)


def test_given_rows_of_the_other_parts_count(config, short_runs, capsys):
    estimate.main(
        [f"--config={config}", "--rows=1e5", "--validation_rows=10", "--test_rows=20"], {}
    )

    assert "(10 for validation, 20 for test)" in capsys.readouterr().out


def test_without_rows_only_the_measurement_is_printed(config, short_runs, capsys):
    estimate.main([f"--config={config}"], {})

    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("pass --rows=N")
    assert not [line for line in lines if "estimate" in line]


def test_bound_is_said_to_be_one(config, monkeypatch, capsys):
    runs = iter(
        [
            ShortRun({"train": 800}, 5_000, 0, 5.0, 3.0, 1.0, 1.0),
            ShortRun({"train": 8_000}, 50_000, 0, 4.0, 30.0, 1.0, 1.0),
        ]
    )
    monkeypatch.setattr(estimate, "run_shortly", lambda *_: next(runs))

    estimate.main([f"--config={config}"], {})

    assert (
        "500.00 s per million rows, at most: the runs are too short to tell; see --smoke_rows="
        in capsys.readouterr().out
    )


def test_budget_in_seconds_is_refused_before_any_run(config, short_runs):
    with pytest.raises(UserError, match=r"the budget is training\.seconds"):
        estimate.main([f"--config={config}", "--rows=1e6", "--", "--seconds=60"], {})

    assert short_runs == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--rows=1.5", "must be a whole number; received '1.5'"),
        ("--rows=-1", "must be a number above 0; received '-1'"),
        ("--price_per_hour=inf", "must be a number above 0; received 'inf'"),
        ("--startup_minutes=-1", "must be a number from 0; received '-1'"),
        ("--smoke_rows=5", "must be two numbers, FEW,MANY; received '5'"),
        ("--smoke_steps=9,3", "must be two numbers, FEW,MANY; received '9,3'"),
    ],
)
def test_wrong_number_is_a_usage_error(option, message, capsys):
    with pytest.raises(SystemExit) as ended:
        estimate.main([option], {})

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_figures_are_read_from_the_folder_of_a_run(tmp_path):
    report = {
        "rows": {"train": 800, "validation": 200},
        "seconds": {"prepare": 1.5, "train": 2.5, "evaluate_and_export": 3.5, "total": 8.0},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    lines = [{"step": 5, "examples": 500, "val_num_rows": 200}, {"step": 9, "examples": 900}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert estimate.read_short_run(str(tmp_path), 14.0) == ShortRun(
        {"train": 800, "validation": 200}, 900, 200, 1.5, 2.5, 3.5, start=6.0
    )


def test_failure_of_the_short_run_is_its_last_line(tmp_path):
    with pytest.raises(UserError, match=r"^the short run failed: --epoch: unknown flag; did you m"):
        estimate.run_shortly(["--epoch=3"], str(tmp_path), os.environ)


@pytest.mark.slow
def test_script_measures_real_runs(config):
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts" / "estimate.py"),
            f"--config={config}",
            "--rows=1e6",
            "--smoke_rows=300,1000",
            "--smoke_steps=20,400",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[:2]
    # 20% of the limited table are for validation: the fingerprints of rows decide.
    assert "2,000 trained and" in first and "40,000 trained and" in second
    assert "estimate for 1,000,000 training rows" in done.stdout
