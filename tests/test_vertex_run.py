"""Runs with the environment of a Vertex AI replica, everything on gs:// (an emulator)."""

import json
import signal
import time

import numpy as np
import pytest
from runs import reason, run_task, start_task

from trainer import storage

# What a replica of a job without further workers sees: its task is `chief`, and no TF_CONFIG.
CLUSTER_SPEC = json.dumps(
    {
        "cluster": {"chief": ["cmle-training-workerpool0-ab-0:2222"]},
        "environment": "cloud",
        "task": {"type": "chief", "index": 0},
        "job": {},
    }
)
YAML = """
data: {column_names: [sales, shop, day], validation_fraction: 0.2}
label: {column: sales, task: regression}
columns:
  shop: {kind: categorical, vocabulary_file: "gs://bucket/shops.txt"}
  day: numeric
model: {hidden_units: [8]}
training: {epochs: 4, batch_size: 32, eval_steps: 10}
evaluation: {baseline: constant}
"""


@pytest.fixture
def bucket(emulator):
    """Data, config and vocabulary where a job would have them."""
    rng = np.random.default_rng(5)
    for part in range(2):
        shops = rng.integers(3, size=200)
        days = rng.integers(30, size=200)
        sales = shops * 10 + days + rng.normal(size=200)
        lines = (f"{s:.3f},shop {i},{d}" for s, i, d in zip(sales, shops, days, strict=True))
        storage.write_text(f"gs://bucket/data/training-{part:05d}-of-00002.csv", "\n".join(lines))
    storage.write_text("gs://bucket/configs/sales.yaml", YAML)
    storage.write_text("gs://bucket/shops.txt", "shop 0\nshop 1\nshop 2\n")
    return emulator


def replica(prefix, **variables):
    return {
        "CLUSTER_SPEC": CLUSTER_SPEC,
        "CLOUD_ML_PROJECT_ID": "123",
        "AIP_MODEL_DIR": f"gs://bucket/{prefix}/model/",
        "AIP_CHECKPOINT_DIR": f"gs://bucket/{prefix}/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"gs://bucket/{prefix}/logs/",
        "AIP_DATA_FORMAT": "csv",
        "AIP_TRAINING_DATA_URI": "gs://bucket/data/training-*",
        **variables,
    }


def test_trial_leaves_everything_where_vertex_looks(bucket, tmp_path):
    metric_file = tmp_path / "hypertune" / "output.metrics"
    done = run_task(
        "--config=gs://bucket/configs/sales.yaml",
        "--batch_size=64",
        "--batch_size=32.0",
        cwd=tmp_path,
        **replica("hp/3", CLOUD_ML_TRIAL_ID="3", CLOUD_ML_HP_METRIC_FILE=str(metric_file)),
    )

    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["severity"] for line in lines} <= {"INFO", "WARNING"}
    assert storage.exists("gs://bucket/hp/3/model/saved_model.pb")
    assert storage.exists("gs://bucket/hp/3/model/assets.extra/sample_request.json")
    assert storage.list_dir("gs://bucket/hp/3/checkpoints")
    assert storage.list_dir("gs://bucket/hp/3/logs/validation")
    assert storage.exists("gs://bucket/hp/3/COMPLETE")
    report = json.loads(storage.read_text("gs://bucket/hp/3/report.json"))
    history = [
        json.loads(line)
        for line in storage.read_text("gs://bucket/hp/3/metrics.jsonl").splitlines()
    ]
    reports = [json.loads(line) for line in metric_file.read_text().splitlines()]
    assert {line["trial"] for line in reports} == {"3"}
    values = [float(line["val_rmse"]) for line in reports]
    expected = [record["val_rmse"] for record in history]
    assert values == pytest.approx([*expected, report["metrics"]["validation"]["rmse"]])
    assert report["rows"]["train"] + report["rows"]["validation"] == 400


def test_preempted_job_goes_on_from_its_bucket(bucket, tmp_path):
    flags = ["--config=gs://bucket/configs/sales.yaml", "--patience=0"]
    variables = replica("runs/spot")
    long = [*flags, "--epochs=100000"]
    process = start_task(*long, cwd=tmp_path, **variables)
    deadline = time.monotonic() + 120
    while not storage.exists("gs://bucket/runs/spot/metrics.jsonl"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75, stderr
    # A replaced machine has an empty disk: only the bucket knows where the run stood.
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    process = start_task(*long, cwd=fresh, **variables)
    resumed = ""
    for line in process.stdout:
        if "resuming at step" in line:
            resumed = line
            break
    process.kill()
    process.communicate()
    step = int(json.loads(resumed)["message"].rsplit(" ", 1)[1])
    assert step > 0

    refused = run_task(*flags, cwd=fresh, **variables)
    assert refused.returncode == 2
    assert "training.epochs was 100000.0, now 4.0" in reason(refused)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"AIP_DATA_FORMAT": "bigquery", "AIP_TRAINING_DATA_URI": "bq://p.d.t"}, "bigquery"),
        ({"AIP_MODEL_DIR": ""}, "baseOutputDirectory"),
        ({"AIP_TRAINING_DATA_URI": "gs://bucket/nothing/training-*"}, "gs://bucket/nothing"),
        ({"CLUSTER_SPEC": "{"}, "CLUSTER_SPEC"),
    ],
)
def test_wrong_environment_is_one_line(bucket, tmp_path, variables, message):
    done = run_task(
        "--config=gs://bucket/configs/sales.yaml", cwd=tmp_path, **replica("wrong", **variables)
    )
    assert done.returncode == 2
    assert reason(done).startswith("error: ")
    assert reason(done).count("\n") == 1
    assert message in reason(done)
