"""Several devices and processes: the same training as on one, and the loss of one of them."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import runs
import tensorflow as tf
from clusters import Cluster

# Without dropout, whose masks differ between replicas; 200 steps, as few calls as may be.
FLAGS = ("--steps=200", "--eval_steps=100", "--dropout=0", "--input_dropout=0", "--baseline=none")


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


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run on one device."""
    cwd = tmp_path_factory.mktemp("alone")
    done = runs.run_task(f"--job_dir={cwd}/run", *FLAGS, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "run"


def test_two_devices_train_as_one(alone, tmp_path):
    done = runs.run_task(f"--job_dir={tmp_path}/run", "--logical_cpus=2", *FLAGS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "devices: mirrored, 2 replicas on 1 process(es)" in done.stdout
    assert "weights are equal on all 2 replicas" in done.stdout
    assert_same_training(alone, tmp_path / "run", 1e-5)


def test_two_processes_train_as_one(alone, tmp_path):
    with Cluster(tmp_path, *FLAGS, worker=1) as cluster:
        assert set(cluster.codes().values()) == {0}, cluster.log("worker")
    assert "weights are equal on all 2 replicas" in cluster.log("chief")
    assert_same_training(alone, tmp_path / "run", 1e-5)
    # The worker writes nothing and repeats nothing of what the chief says.
    assert "val_rmse" not in cluster.log("worker")


def test_a_chief_with_servers_and_an_evaluator(alone, tmp_path):
    flags = (*FLAGS, "--checkpoint_steps=100")
    with Cluster(tmp_path, *flags, worker=2, ps=2, evaluator=True) as cluster:
        assert set(cluster.codes().values()) == {0}, cluster.log("chief")
    ours, theirs = runs.read_metrics(tmp_path / "run")[-1], runs.read_metrics(alone)[-1]
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
        assert cluster.codes(timeout=30) == {("chief", 0): 75, ("worker", 0): 75}
    assert "SIGTERM at step" in cluster.log("worker")
    assert "a signal to another process at step" in cluster.log("chief")
    assert list(Path(tmp_path, "run", "checkpoints").glob("step-*/manifest.json"))
