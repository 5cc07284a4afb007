"""trainer.insight.profiler: the calls with the steps, and files that TensorBoard's plugin finds."""

from pathlib import Path

import pytest
import tensorflow as tf
from tiny_table import PLAN

from trainer import storage
from trainer.insight import profiler
from trainer.insight.profiler import Profiler


def play(callback):
    """The calls of the plan, as the loop tells of them: the steps that were profiled."""
    step, seen = 0, []
    while length := PLAN.call_length(step):
        callback.on_train_batch_begin(step)
        if callback._local_dir:
            seen += [step + 1, step + length]
            tf.matmul(tf.ones((64, 64)), tf.ones((64, 64)))
        step += length
        callback.on_train_batch_end(step - 1)
    callback.on_train_end()
    return seen


@pytest.fixture
def quiet(monkeypatch):
    """Starts and stops are noted only."""
    calls = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda path: calls.append("start"))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: calls.append("stop"))
    return calls


@pytest.mark.parametrize(
    ("steps", "profiled"),
    [
        # Calls end at 20, 40, 50, 70, 90, 100.
        ("1,1", [1, 20]),
        ("20,21", [1, 20, 21, 40]),
        ("45, 60", [41, 50, 51, 70]),
        ("95,500", [91, 100]),
        ("101,200", []),
    ],
)
def test_calls_that_contain_the_steps_are_profiled_once(tmp_path, quiet, steps, profiled):
    assert play(Profiler(steps, PLAN, str(tmp_path))) == profiled
    assert quiet == ["start", "stop"] * bool(profiled)


@pytest.mark.parametrize("place", ["local", "gs"])
def test_the_profile_lies_where_tensorboard_looks(tmp_path, request, place):
    log_dir = str(tmp_path / "logs")
    if place == "gs":
        log_dir = f"{request.getfixturevalue('emulator')}/{tmp_path.name}/logs"
    play(Profiler("1,2", PLAN, log_dir))
    (run,) = storage.list_dir(f"{log_dir}/plugins/profile")
    files = storage.list_dir(f"{log_dir}/plugins/profile/{run}")
    (trace,) = [name for name in files if name.endswith(".xplane.pb")]
    assert b"MatMul" in storage.read_bytes(f"{log_dir}/plugins/profile/{run}/{trace}")
    assert not list(Path(profiler.tempfile.gettempdir()).glob("profile-*/plugins"))
