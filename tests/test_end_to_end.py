"""Whole runs in real processes: the sample, a user's own table, kills, signals, and bad input."""

import json
import signal
import time

import numpy as np
import pytest
import tensorflow as tf
from runs import read_metrics, read_report, run_task, start_task

# A config of a user: 300 short lines of data, every basic kind of column, no code.
TABLE_YAML = """
data:
  train: {table}
  validation_fraction: 0.2
  test_fraction: 0.2
  split_column: name
label: {{column: bought, task: binary, positive: "yes"}}
columns:
  name: key
  age: numeric
  city: {{kind: categorical, min_frequency: 1}}
  member: boolean
  seen: {{kind: datetime, format: "%Y-%m-%d", parts: [month, day_of_week]}}
  visits: {{kind: identity, size: 10}}
  importance: weight
crosses:
  - columns: [city, member]
    towers: [wide, deep]
training: {{epochs: 3, batch_size: 32}}
model: {{hidden_units: [8], dropout: 0.1}}
"""
QUICK = ["--epochs=1", "--baseline=none", "--eval_steps=40", "--hidden_units=8"]


@pytest.fixture
def table(tmp_path):
    """A CSV with a header, missing values, a quoted comma and Unix line ends."""
    rng = np.random.default_rng(7)
    lines = ["name,age,city,member,seen,visits,importance,bought"]
    for i in range(300):
        age = "" if i % 17 == 0 else str(rng.integers(18, 80))
        city = ["Berlin", '"Paris, FR"', "Rome", ""][rng.integers(4)]
        member = ["true", "false"][rng.integers(2)]
        bought = "yes" if (city == "Berlin") ^ (rng.random() < 0.1) else "no"
        lines.append(
            f"n{i},{age},{city},{member},2024-0{1 + i % 9}-11,{i % 10},{1 + i % 2},{bought}"
        )
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "table.yaml").write_text(TABLE_YAML.format(table="table.csv"))
    return tmp_path


def test_no_arguments_train_evaluate_and_export_the_sample(tmp_path):
    done = run_task(*QUICK, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    job_dir = tmp_path / "runs" / "taxifare_sample"
    report = read_report(job_dir)
    # The noise of the sample is 0.99 dollars, its spread 9; an epoch gets most of the way.
    assert 0.98 < report["metrics"]["test"]["rmse"] < 2.5
    assert report["rows"] == {"train": 40000, "validation": 5000, "test": 5000}
    records = read_metrics(job_dir)
    assert [r["step"] for r in records] == [40, 80, 120, 157]
    assert records[-1]["val_rmse"] == pytest.approx(report["metrics"]["validation"]["rmse"], 1e-6)
    assert (job_dir / "COMPLETE").exists()
    assert list((job_dir / "logs" / "validation").iterdir())

    again = run_task(*QUICK, cwd=tmp_path)
    assert again.returncode == 0
    assert "is complete" in again.stdout
    other = run_task(*QUICK, "--batch_size=128", cwd=tmp_path)
    assert other.returncode == 2
    assert "training.batch_size was 256, now 128" in other.stderr


def test_own_table_is_served_as_it_was_trained(table):
    done = run_task("--config=table.yaml", cwd=table)

    assert done.returncode == 0, done.stderr
    report = read_report(table / "runs" / "table")
    assert sum(report["rows"].values()) == 300
    assert report["metrics"]["test"]["auc"] > report["baselines"]["constant"]["test"].get(
        "auc", 0.5
    )
    model_dir = table / "runs" / "table" / "model"
    request = json.loads((model_dir / "assets.extra" / "sample_request.json").read_text())
    served = tf.saved_model.load(str(model_dir)).signatures["serving_default"]
    instances = request["instances"]
    specs = served.structured_input_signature[1]
    answer = served(
        **{
            name: tf.constant([row[name] for row in instances], spec.dtype)
            for name, spec in specs.items()
        }
    )
    assert set(answer) == {"probability", "class", "key"}
    assert answer["key"].numpy().astype(str).tolist() == [row["name"] for row in instances]
    assert np.all((answer["probability"].numpy() > 0) & (answer["probability"].numpy() < 1))


def final_variables(job_dir):
    """Every variable of the newest checkpoint, by name."""
    folder = max((job_dir / "checkpoints").iterdir())
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


KILLED = [
    "--steps=240",
    "--eval_steps=40",
    "--checkpoint_steps=16",
    "--steps_per_call=8",
    "--hidden_units=16",
    "--dropout=0.2",
    "--baseline=none",
]


def test_killed_runs_end_with_the_same_bits(tmp_path):
    """kill -9 at three moments, then a run to the end, equals a run that was let alone."""
    whole = run_task(*KILLED, "--job_dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr

    job_dir = tmp_path / "killed"
    for step in (16, 96, 160):
        process = start_task(*KILLED, "--job_dir=killed", cwd=tmp_path)
        wait_for(
            lambda s=step: (job_dir / f"checkpoints/step-{s:09d}/manifest.json").exists(), process
        )
        process.kill()
        process.communicate()
    last = run_task(*KILLED, "--job_dir=killed", cwd=tmp_path)

    assert last.returncode == 0, last.stderr
    assert "resuming at step" in last.stdout
    expected, actual = final_variables(tmp_path / "whole"), final_variables(job_dir)
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)
    clock = ("seconds", "waiting_seconds")
    strip = [{k: v for k, v in r.items() if k not in clock} for r in read_metrics(job_dir)]
    assert strip == [
        {k: v for k, v in r.items() if k not in clock} for r in read_metrics(tmp_path / "whole")
    ]


def test_sigterm_saves_and_says_75(tmp_path):
    flags = ["--steps=100000", "--eval_steps=50", "--baseline=none", "--patience=0"]
    process = start_task(*flags, cwd=tmp_path)
    metrics = tmp_path / "runs" / "taxifare_sample" / "metrics.jsonl"
    wait_for(metrics.exists, process)

    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 75
    assert "SIGTERM at step" in stderr
    assert stderr.count("\n") == 1
    assert list((metrics.parent / "checkpoints").glob("step-*/manifest.json"))


def test_sigterm_while_tensorflow_is_imported_says_75(tmp_path):
    process = start_task(cwd=tmp_path)
    assert "settings:" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75
    assert stderr == "interrupted: at once, nothing is saved; start again to go on\n"


def test_diverging_run_names_the_step_and_exports_nothing(tmp_path):
    done = run_task(*QUICK, "--deep_optimizer=sgd", "--deep_learning_rate=1e30", cwd=tmp_path)

    assert done.returncode == 3
    assert "at step" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "runs" / "taxifare_sample" / "model").iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,age\nn1,2\n", "has no column 'city'"),
        ("", "empty"),
        (None, "x.csv"),
    ],
)
def test_broken_file_is_one_line_and_loses_nothing(table, content, message):
    if content is not None:
        (table / "x.csv").write_text(content)

    done = run_task("--config=table.yaml", "--train=x.csv", cwd=table)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert (table / "table.csv").exists()
