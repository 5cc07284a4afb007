"""Several devices and processes: the same training as on one."""

import functools
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import runs
import tensorflow as tf
from bag_tables import write_class_table
from clusters import Cluster
from shop_table import write_shop_table

# Without dropout, whose masks differ between replicas; 200 steps, as few calls as may be.
FLAGS = ("--steps=200", "--eval_steps=100", "--dropout=0", "--input_dropout=0", "--baseline=none")
# The sample: number columns, dates, geography, crosses; and a binary label with row weights.
DECIDED = ("--config=config.yaml", "--threshold=f1", "--calibration=platt")
RUNS = {"regression": (*FLAGS, "--report=none"), "binary": (*FLAGS, *DECIDED)}
# Tags and words, and a sampled softmax, which draws the same classes on all devices.
RUNS["multiclass"] = (*FLAGS, "--config=config.yaml")


def write_table(folder, task):
    return write_class_table(folder) if task == "multiclass" else write_shop_table(folder, "binary")


def weights_of(job_dir):
    """Every weight in the last checkpoint, in order."""
    steps = sorted(Path(job_dir, "checkpoints").glob("step-*"))
    reader = tf.train.load_checkpoint(str(steps[-1] / "variables"))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("weights/")]
    return {name: reader.get_tensor(name) for name in sorted(names)}


def assert_same_training(one, other, tolerance):
    ours, theirs = runs.read_metrics(one), runs.read_metrics(other)
    for a, b in zip(ours, theirs, strict=True):
        for name in ("loss", "val_rmse", "val_log_loss", "val_mae", "val_auc"):
            if name in a:
                assert a[name] == pytest.approx(b[name], rel=tolerance), (name, a["step"])
    ours, theirs = weights_of(one), weights_of(other)
    assert list(ours) == list(theirs)
    assert sum(value.size for value in ours.values()) > 1000
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=0, atol=tolerance, err_msg=name)


def decision_of(job_dir):
    """What the validation rows have chosen."""
    report = json.loads(Path(job_dir, "report.json").read_text())
    found = {name: report.get(name) for name in ("operating_point", "calibration")}
    return found | {"before": report.get("validation_before_decision")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """`alone(task)` is the folder of the run on one device."""

    @functools.cache
    def run(task):
        cwd = write_table(tmp_path_factory.mktemp("alone"), task)
        done = runs.run_task(f"--job_dir={cwd}/run", *RUNS[task], cwd=cwd)
        assert done.returncode == 0, done.stderr
        return cwd / "run"

    return run


@pytest.mark.parametrize(
    "task",
    [
        "regression",
        *(pytest.param(task, marks=pytest.mark.slow) for task in ("binary", "multiclass")),
    ],
)
def test_two_devices_and_two_processes_train_as_one(task, alone, tmp_path):
    flags = RUNS[task]
    devices, processes = (tmp_path / name for name in ("devices", "processes"))
    for cwd in (devices, processes):
        cwd.mkdir()
        write_table(cwd, task)

    done = runs.run_task(f"--job_dir={devices}/run", "--logical_cpus=2", *flags, cwd=devices)
    assert done.returncode == 0, done.stderr
    assert "devices: mirrored, 2 replicas on 1 process(es)" in done.stdout
    assert "weights are equal on all 2 replicas" in done.stdout
    assert_same_training(alone(task), devices / "run", 1e-5)

    with Cluster(processes, *flags, worker=1) as cluster:
        assert set(cluster.codes().values()) == {0}, cluster.log("worker")
    assert "weights are equal on all 2 replicas" in cluster.log("chief")
    # The worker writes nothing and repeats nothing of what the chief says.
    assert "evaluation" not in cluster.log("worker")
    # A sum of two is the same in either order: the bits of two devices.
    assert_same_training(devices / "run", processes / "run", 0)
    # The chief alone decides, on predictions that all have made.
    assert decision_of(devices / "run") == decision_of(processes / "run")
    assert ("calibration platt" in cluster.log("chief")) == (task == "binary")
    assert "calibration platt" not in cluster.log("worker")


def test_a_chief_with_servers_and_an_evaluator(alone, tmp_path):
    flags = (*FLAGS, "--checkpoint_steps=100")
    with Cluster(tmp_path, *flags, worker=2, ps=2, evaluator=True) as cluster:
        assert set(cluster.codes().values()) == {0}, cluster.log("chief")
    ours, theirs = (
        runs.read_metrics(tmp_path / "run")[-1],
        runs.read_metrics(alone("regression"))[-1],
    )
    # Two workers at once: not the same steps, but the same problem solved about as well.
    assert ours["step"] == theirs["step"] == 200
    assert ours["val_rmse"] < 1.3 * theirs["val_rmse"]
    lines = (tmp_path / "run" / "evaluator.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["step"] == 200
    assert last["val_rmse"] == pytest.approx(ours["val_rmse"], rel=1e-5)


def test_a_signal_to_one_process_stops_all_with_a_checkpoint(tmp_path):
    flags = ("--steps=100000", "--eval_steps=100000", "--patience=0", "--baseline=none")
    with Cluster(tmp_path, *flags, worker=1) as cluster:
        cluster.wait_for("run folder")
        time.sleep(2)
        os.kill(cluster.processes["worker", 0].pid, signal.SIGTERM)
        assert cluster.codes() == {("chief", 0): 75, ("worker", 0): 75}
    assert "SIGTERM at step" in cluster.log("worker")
    assert "a signal to another process at step" in cluster.log("chief")
    assert list(Path(tmp_path, "run", "checkpoints").glob("step-*/manifest.json"))
