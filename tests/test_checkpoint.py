"""trainer.checkpoint: complete or invisible, on a local folder and on gs:// (an emulator)."""

import logging
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from trainer import storage
from trainer.checkpoint import CheckpointFolder
from trainer.errors import UserError


@pytest.fixture(params=["local", "gs"])
def directory(request, tmp_path):
    """A folder for checkpoints that is not there yet, local and remote."""
    if request.param == "local":
        return str(tmp_path / "run" / "checkpoints")
    return f"{request.getfixturevalue('emulator')}/{tmp_path.name}/checkpoints"


def make_variables(value=0.0, **more):
    weights = [tf.Variable(np.full((3, 2), value, np.float32)), tf.Variable(np.float32(value))]
    return tf.train.Checkpoint(weights=weights, **more)


def values_of(variables):
    return [float(np.mean(weight.numpy())) for weight in variables.weights]


def save(folder, step):
    """A checkpoint whose content tells its step."""
    folder.save(step, make_variables(float(step)), {"step": step, "history": [{"loss": 0.1}]})


def restore(directory):
    """The restored state and values; None where there is nothing."""
    variables = make_variables(-1.0)
    state = CheckpointFolder(directory).restore_latest(variables)
    return state and (state["step"], values_of(variables))


def damage(directory, step, name, change):
    path = storage.join(directory, f"step-{step:09d}", name)
    storage.write_bytes(path, change(storage.read_bytes(path)))


def variables_file(directory, step):
    names = storage.list_dir(storage.join(directory, f"step-{step:09d}"))
    return next(name for name in names if name.startswith("variables.data"))


def test_an_absent_folder_has_no_checkpoints(directory):
    folder = CheckpointFolder(directory)
    variables = make_variables(5.0)
    assert folder.steps() == []
    assert folder.restore_latest(variables) is None
    assert values_of(variables) == [5.0, 5.0]


def test_state_and_variables_come_back_bit_for_bit(directory):
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(7, 3)).astype(np.float32)
    weight[0, :2] = np.nan, -0.0
    state = {"step": 3, "seconds": 0.1 + 0.2, "best_value": None, "history": [{"loss": 1 / 3}]}
    folder = CheckpointFolder(directory)
    folder.save(3, tf.train.Checkpoint(weight=tf.Variable(weight)), state)
    found = tf.Variable(np.zeros((7, 3), np.float32))
    assert folder.restore_latest(tf.train.Checkpoint(weight=found)) == state
    assert found.numpy().tobytes() == weight.tobytes()


def test_the_newest_is_restored_and_the_oldest_are_retired(directory):
    folder = CheckpointFolder(directory, keep=2)
    for step in (5, 9, 10, 100):
        save(folder, step)
    assert folder.steps() == [10, 100]
    assert storage.list_dir(directory) == ["step-000000010", "step-000000100"]
    assert restore(directory) == (100, [100.0, 100.0])


def test_saving_a_step_again_replaces_it(directory):
    folder = CheckpointFolder(directory)
    save(folder, 4)
    folder.save(4, make_variables(8.0), {"step": 4})
    assert restore(directory) == (4, [8.0, 8.0])


def flip_last_bit(data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("variables", flip_last_bit, "variables.data-.* does not match its checksum"),
        ("variables", lambda data: data[:-1], r"has \d+ bytes instead of \d+"),
        ("variables", lambda _: b"", "has 0 bytes instead of"),
        ("state.json", lambda data: data.replace(b"20", b"21"), "state.json does not match its"),
        ("manifest.json", lambda data: data[: len(data) // 2], "manifest.json is not JSON"),
        ("manifest.json", lambda _: b"", "manifest.json is not JSON"),
        ("manifest.json", lambda _: b"\xff\xfe", "manifest.json is not JSON"),
        ("manifest.json", lambda _: b"[" * 100_000, "manifest.json is not JSON"),
        ("manifest.json", lambda _: b"[1]", "manifest.json does not list names, sizes and checks"),
        ("manifest.json", lambda _: b'{"a": 1}', "manifest.json does not list names, sizes and"),
        ("manifest.json", lambda _: b"{}", "manifest.json does not list state.json"),
        ("manifest.json", lambda _: b'{"state.json": [0, 0]}', "does not list variables.index"),
        (
            "manifest.json",
            lambda data: b'{"a\\u0000": [0, 0], "%b": [0, 0],' % (b"b" * 300) + data[1:],
            "is missing",
        ),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    directory, caplog, file, change, problem
):
    folder = CheckpointFolder(directory)
    save(folder, 10)
    save(folder, 20)
    if file == "variables":
        file = variables_file(directory, 20)
    damage(directory, 20, file, change)
    assert restore(directory) == (10, [10.0, 10.0])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert "step-000000020 is damaged" in message
    assert "trying the one before" in message
    assert re.search(problem, message)


def test_a_lost_file_is_named(directory, caplog):
    folder = CheckpointFolder(directory)
    save(folder, 10)
    save(folder, 20)
    name = variables_file(directory, 20)
    storage.remove(storage.join(directory, "step-000000020", name))
    assert restore(directory) == (10, [10.0, 10.0])
    assert f"{name} is missing" in caplog.text


def test_a_folder_without_manifest_is_told_to_those_who_write(directory, caplog):
    """What a kill in the middle of a save leaves. Who only reads may have come amid a save."""
    folder = CheckpointFolder(directory)
    save(folder, 10)
    save(folder, 20)
    storage.remove(storage.join(directory, "step-000000020", "manifest.json"))
    assert folder.steps() == [10]
    assert restore(directory) == (10, [10.0, 10.0])
    assert not caplog.records
    writer = CheckpointFolder(directory, before_save=lambda: None)
    assert writer.restore_latest(make_variables())["step"] == 10
    (record,) = caplog.records
    assert re.search(r"step-000000020 is incomplete: it has no manifest.json", record.getMessage())


def test_other_names_are_no_checkpoints(directory):
    folder = CheckpointFolder(directory)
    save(folder, 10)
    for name in ("step-11", "step-0000000012", "xstep-000000013", "best"):
        storage.write_text(storage.join(directory, name, "manifest.json"), "{}")
    assert folder.steps() == [10]
    assert restore(directory) == (10, [10.0, 10.0])


def test_damage_of_all_is_the_users_to_decide_about(directory, caplog):
    folder = CheckpointFolder(directory)
    for step in (10, 20):
        save(folder, step)
        damage(directory, step, "state.json", lambda _: b"{")
    variables = make_variables(5.0)
    message = (
        r"no checkpoint in .* can be used, the last one tried is .*step-000000010: state.json has "
        r"1 bytes instead of \d+. Put an intact copy there, or .* with --resume=restart"
    )
    with pytest.raises(UserError, match=message):
        folder.restore_latest(variables)
    assert values_of(variables) == [5.0, 5.0]
    assert len(caplog.records) == 2


@pytest.mark.parametrize("moment", ["before it is copied", "while it is copied"])
def test_checkpoint_that_is_retired_while_it_is_read_gives_way_to_the_next(
    directory, monkeypatch, moment
):
    writer = CheckpointFolder(directory, keep=1)
    save(writer, 10)
    fetch = storage.fetch_dir

    def retire_amid(source, local_dir):
        monkeypatch.setattr(storage, "fetch_dir", fetch)
        if moment == "while it is copied":
            fetch(source, local_dir)
            os.remove(os.path.join(local_dir, "state.json"))
            save(writer, 20)
        else:
            save(writer, 20)
            fetch(source, local_dir)

    monkeypatch.setattr(storage, "fetch_dir", retire_amid)
    assert restore(directory) == (20, [20.0, 20.0])


def test_manifest_is_the_first_file_to_go(directory, monkeypatch):
    """A kill amid a deletion leaves an incomplete checkpoint and never a damaged one."""
    folder = CheckpointFolder(directory, keep=1)
    save(folder, 10)
    removed, remove = [], storage.remove
    monkeypatch.setattr(storage, "remove", lambda path: (removed.append(path), remove(path)))
    save(folder, 20)
    old = storage.join(directory, "step-000000010")
    assert removed[-2:] == [storage.join(old, "manifest.json"), old]


def test_copies_on_their_way_lie_in_the_scratch_folder_and_do_not_pile_up(directory, tmp_path):
    scratch = tmp_path / "scratch"
    folder = CheckpointFolder(directory, scratch_dir=str(scratch))
    other = CheckpointFolder(f"{directory}-2", scratch_dir=str(scratch))
    with (
        pytest.raises(KeyboardInterrupt),
        pytest.MonkeyPatch.context() as patch,
    ):
        # As a kill: the folder stays.
        patch.setattr("tempfile.TemporaryDirectory.cleanup", lambda self: self._finalizer.detach())
        patch.setattr(
            storage, "commit_dir", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        save(folder, 10)
    (left,) = scratch.iterdir()
    assert any(left.iterdir())
    save(other, 10)
    assert list(scratch.iterdir()) == [left]
    save(folder, 20)
    assert restore(directory) == (20, [20.0, 20.0])
    assert list(scratch.iterdir()) == []


def test_full_scratch_folder_is_named(directory, tmp_path, monkeypatch):
    folder = CheckpointFolder(directory, scratch_dir=str(tmp_path / "scratch"))
    save(folder, 10)

    def fail(*_):
        raise tf.errors.OutOfRangeError(None, None, "{{a}} /x; File too large [Op:SaveV2]")

    variables = make_variables()
    monkeypatch.setattr(variables, "write", fail)
    with pytest.raises(
        UserError,
        match=r"cannot save a checkpoint by way of .*scratch: File too large; make room "
        r"there, or name another data.scratch_dir",
    ):
        folder.save(20, variables, {})
    assert restore(directory) == (10, [10.0, 10.0])


@pytest.mark.parametrize("keep", [1, 2])
def test_a_new_checkpoint_outlives_damaged_ones_of_later_steps(directory, keep):
    """The run went on from before them: they must not count as the newest and push it out."""
    folder = CheckpointFolder(directory, keep)
    for step in (10, 20, 30):
        save(folder, step)
    for step in folder.steps():
        damage(directory, step, "state.json", lambda _: b"{")
    save(folder, 5)
    assert restore(directory) == (5, [5.0, 5.0])
    save(folder, 15)
    assert restore(directory) == (15, [15.0, 15.0])
    assert folder.steps() == [5, 15][-keep:]


def test_a_failed_save_leaves_the_older_checkpoints(tmp_path, monkeypatch):
    directory = str(tmp_path / "checkpoints")
    folder = CheckpointFolder(directory, keep=1)
    save(folder, 10)

    def fail(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(UserError, match=r"cannot write .*step-000000020.*: No space left"):
            save(folder, 20)
    assert folder.steps() == [10]
    assert restore(directory) == (10, [10.0, 10.0])


def test_variables_that_the_checkpoint_lacks_are_an_error(directory):
    folder = CheckpointFolder(directory)
    save(folder, 10)
    with pytest.raises(AssertionError):
        folder.restore_latest(make_variables(extra=tf.Variable(1.0)))
    other = tf.train.Checkpoint(weights=[tf.Variable(np.zeros((3, 2), np.float32))])
    with pytest.raises(AssertionError):
        folder.restore_latest(other)
