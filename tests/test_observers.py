"""trainer.observers: what they write, read back."""

import io
import json
import logging
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_table import PLAN

from trainer import observers, storage
from trainer.errors import UserError
from trainer.observers import Console, JsonLines, Scalars, Tuning
from trainer.tuning import MetricReporter
from trainer.vertex import VertexEnvironment


def record(step, **more):
    return {
        "step": step,
        "epoch": step / 40,
        "examples": step * 8,
        "seconds": 1.5,
        "loss": 2 / step,
        "wide_learning_rate": 0.05,
        **more,
    }


HISTORY = [record(50, val_rmse=1 / 3, val_num_rows=7), record(100, val_rmse=0.25, val_num_rows=7)]


def play(callback, history, records=HISTORY):
    """What the loop does: the record is in the history before it is told."""
    callback.on_train_begin()
    for number, item in enumerate(records):
        history.append(item)
        callback.on_train_batch_end(item["step"] - 1, {"loss": item["loss"]})
        # Keras makes floats of everything; an observer must not depend on it.
        callback.on_epoch_end(number, {name: float(value) for name, value in item.items()})
    callback.on_train_end()


@pytest.fixture(params=["local", "gs"])
def root(request, tmp_path):
    """A folder that is not there yet, local and remote."""
    if request.param == "local":
        return str(tmp_path / "run")
    return f"{request.getfixturevalue('emulator')}/{tmp_path.name}/run"


def test_console_prints_a_line_for_each_evaluation(caplog):
    caplog.set_level(logging.INFO, logger="trainer.observers")
    history = []
    play(Console(PLAN, 0, history), history, [*HISTORY, record(101)])
    assert [r.getMessage() for r in caplog.records] == [
        "step      50  epoch    1.25  loss 0.0400  val_rmse 0.333",
        "step     100  epoch    2.50  loss 0.0200  val_rmse 0.250",
        "step     101  epoch    2.52  loss 0.0198",
    ]


class Terminal(io.StringIO):
    """A stream that a person seems to watch."""

    def isatty(self):
        return True


def test_console_draws_a_bar_on_a_terminal_only(monkeypatch):
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stderr", stream)
        history = []
        console = Console(PLAN, 40, history)
        play(console, history)
    assert pipe.getvalue() == ""
    # Resumed at step 40 of 100, ended at 100, and wiped at the end.
    assert "40/100" in terminal.getvalue()
    assert "100/100" in terminal.getvalue()


def test_metrics_file_has_every_record_of_the_history(root):
    path, history = storage.join(root, "metrics.jsonl"), [record(25)]
    play(JsonLines(path, history), history)
    lines = storage.read_text(path).splitlines()
    assert [json.loads(line) for line in lines] == [record(25), *HISTORY]


def test_metrics_file_is_whole_after_each_evaluation(tmp_path):
    path, history = tmp_path / "metrics.jsonl", []
    writer = JsonLines(str(path), history)
    for item in HISTORY:
        history.append(item)
        writer.on_epoch_end(0)
        assert [json.loads(line) for line in path.read_text().splitlines()] == history


def read_scalars(directory, tmp_path):
    """Values by tag and step, from TensorBoard's own format."""
    local = tmp_path / "fetched"
    storage.fetch_dir(directory, str(local))
    found = {}
    for file in sorted(local.iterdir()):
        for example in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(example.numpy())
            for value in event.summary.value:
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_scalars_are_read_back_by_tensorboard(root, tmp_path):
    history = []
    play(Scalars(root, history), history)
    assert storage.list_dir(root) == ["train", "validation"]
    expected = {
        (name, item["step"]): pytest.approx(item[name])
        for item in HISTORY
        for name in ("epoch", "seconds", "loss", "wide_learning_rate")
    }
    assert read_scalars(storage.join(root, "train"), tmp_path / "a") == expected
    expected = {
        (name, item["step"]): pytest.approx(item[f"val_{name}"])
        for item in HISTORY
        for name in ("rmse", "num_rows")
    }
    assert read_scalars(storage.join(root, "validation"), tmp_path / "b") == expected


def test_histograms_are_read_back_by_tensorboard(root, tmp_path):
    history, asked = [], []
    values = np.random.default_rng(0).normal(size=500).astype(np.float32)

    def weights(number):
        asked.append(number)
        return {"h1": values * number} if number == 2 else {}

    play(Scalars(root, history, weights), history)

    storage.fetch_dir(storage.join(root, "train"), str(tmp_path / "fetched"))
    events = EventAccumulator(str(tmp_path / "fetched"))
    events.Reload()
    assert asked == [1, 2]
    assert list(events.PluginTagToContent("histograms")) == ["weights/h1"]
    (event,) = events.Tensors("weights/h1")
    assert event.step == HISTORY[1]["step"]
    bins = tf.make_ndarray(event.tensor_proto)
    counts, edges = np.histogram(2 * values, 30)
    np.testing.assert_array_equal(bins[:, 2], counts)
    np.testing.assert_allclose(bins[:, 0], edges[:-1])
    np.testing.assert_allclose(bins[:, 1], edges[1:])


def test_remote_scalars_are_copied_while_training_goes_on(emulator, tmp_path, monkeypatch):
    root, now = f"{emulator}/{tmp_path.name}/logs", [0.0]
    monkeypatch.setattr(observers.time, "monotonic", lambda: now[0])
    history = []
    scalars = Scalars(root, history)
    for seconds, item in zip((59, 61), HISTORY, strict=True):
        now[0] = seconds
        history.append(item)
        scalars.on_epoch_end(0)
        assert bool(storage.list_dir(root)) == (seconds > 60)
    assert len(read_scalars(storage.join(root, "train"), tmp_path)) == 8
    scalars.on_train_end()


def test_remote_scalars_leave_no_local_folder(emulator, tmp_path, monkeypatch):
    monkeypatch.setattr(observers.tempfile, "tempdir", str(tmp_path))
    history = []
    play(Scalars(f"{emulator}/{tmp_path.name}/logs", history), history)
    assert list(tmp_path.iterdir()) == []


def test_training_that_was_over_leaves_no_scalars(root):
    scalars = Scalars(root, [])
    scalars.on_train_begin()
    scalars.on_train_end()
    assert storage.list_dir(root) == []


def test_tuning_reports_the_history_and_then_every_record(tmp_path):
    path = tmp_path / "metrics"
    environment = VertexEnvironment(trial_id="7", metric_file=str(path))
    reporter = MetricReporter("auto", "rmse", environment)
    history = [record(25, val_rmse=0.5)]
    play(Tuning(reporter, history), history)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(int(line["global_step"]), float(line["val_rmse"])) for line in lines] == [
        (25, 0.5),
        (50, 1 / 3),
        (100, 0.25),
    ]


def test_scalars_outside_of_float32_are_cut(tmp_path):
    history = []
    play(Scalars(str(tmp_path), history), history, [record(50, val_rmse=1e39, val_mae=-1e39)])

    events = [
        value
        for file in (tmp_path / "validation").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]
    values = {value.tag: float(tf.make_ndarray(value.tensor)) for value in events}
    assert values == {"rmse": tf.float32.max, "mae": tf.float32.min}


def test_log_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "logs").write_text("a file")
    history = []
    with pytest.raises(UserError, match=r"to .*logs/train: .*logs is not a directory; name anot"):
        play(Scalars(str(tmp_path / "logs"), history), history)
