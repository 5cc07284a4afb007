"""trainer.loop: rhythm, patience, stops, and a resumed run equal to an uninterrupted one."""

import dataclasses
import itertools
import math
import os
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_table import (
    cut,
    make_config,
    make_program,
    make_rows,
    make_store,
    plan_for,
    training_rows,
)

from trainer import loop
from trainer.checkpoint import CheckpointFolder
from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.evaluation import averaged_weights, evaluate
from trainer.loop import RunState, StopSignal, TrainingLoop
from trainer.row_stores import BlockStore

STORE = make_store(52)
VALIDATION = make_store(30, seed=5)
DROPOUT = {"dropout": 0.3, "input_dropout": 0.1}


def config_of(**training):
    values = {"steps": 12, "eval_steps": 5, "steps_per_call": 4, "checkpoint_seconds": 0}
    return make_config(model=DROPOUT, training=values | training)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One compiled program, and its state before the first step."""
    program = make_program(config_of())
    return program, program.checkpoint.write(str(tmp_path_factory.mktemp("initial") / "state"))


@pytest.fixture
def program(shared):
    """The program as it was when it was new."""
    program, initial = shared
    program.checkpoint.read(initial).assert_consumed()
    program.model.stop_training = False
    return program


class Run:
    """A start of a run in a folder: its state after `go`."""

    def __init__(self, program, directory, *, evaluate_with=None, callbacks=(), **training):
        self.config = config_of(**training)
        self.plan = plan_for(self.config, STORE)
        self.program = program
        self.folder = CheckpointFolder(str(directory), self.config.training.keep_checkpoints)
        self.state = RunState(**(self.folder.restore_latest(program.checkpoint) or {}))
        self.evaluate_with = evaluate_with
        self.callbacks = list(callbacks)

    def go(self, store=STORE):
        with StopSignal() as stop:
            TrainingLoop(
                self.program,
                self.plan,
                self.config.training,
                state=self.state,
                evaluate=self.evaluate_with,
                checkpoints=self.folder,
                callbacks=keras.callbacks.CallbackList(self.callbacks, model=self.program.model),
                stop=stop,
            ).run(training_rows(self.config, store, self.plan, self.state.step))
        return self.state


def scripted(values, name="rmse"):
    """An evaluation that gives these values one after the other."""
    iterator = iter(values)
    return lambda: {name: next(iterator)}


def weights_of(program):
    return [p.variable.numpy() for p in program.parameters]


def kept_weights(program):
    return [copy.numpy() for copy in program.best.copies]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def by_hand(program, config, num_steps):
    """The losses of the first steps, and the averaged weights after the last, without the loop."""
    plan = dataclasses.replace(plan_for(config, STORE), total_steps=num_steps)
    losses = []
    for rows in training_rows(config, STORE, plan):
        losses += program.train(rows, len(losses)).tolist()
    with averaged_weights(program):
        return losses, weights_of(program)


class Calls(keras.callbacks.Callback):
    """Notes what the loop tells."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_begin(self, logs=None):
        self.seen.append("begin")

    def on_train_end(self, logs=None):
        self.seen.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(f"epoch {epoch} ended at {logs['step']:g}")

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(f"from {batch}")

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(f"to {batch}")


class At(keras.callbacks.Callback):
    """Does something at the end of the call whose last step is `step`, or at an evaluation."""

    def __init__(self, step, action, event="batch"):
        super().__init__()
        self.step, self.action, self.event = step, action, event

    def on_train_batch_end(self, batch, logs=None):
        if self.event == "batch" and batch + 1 == self.step:
            self.action()

    def on_epoch_end(self, epoch, logs=None):
        if self.event == "epoch" and logs["step"] == self.step:
            self.action()

    def on_train_end(self, logs=None):
        if self.event == "end":
            self.action()


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_records_are_those_of_the_steps_since_the_last_one(program, shared, tmp_path):
    config = config_of()
    losses, _ = by_hand(program, config, 12)
    program.checkpoint.read(shared[1])
    state = Run(program, tmp_path, evaluate_with=scripted([3.0, 2.0, 1.0])).go()
    assert [r["step"] for r in state.history] == [5, 10, 12]
    assert [r["examples"] for r in state.history] == [40, 80, 96]
    # 52 rows in batches of 8.
    assert [r["epoch"] for r in state.history] == [0.7692, 1.5385, 1.8462]
    expected = [np.mean(losses[:5]), np.mean(losses[5:10]), np.mean(losses[10:])]
    assert [r["loss"] for r in state.history] == pytest.approx(expected, rel=1e-12)
    assert [r["val_rmse"] for r in state.history] == [3.0, 2.0, 1.0]
    # The curvature of mse is 2.
    assert [r["wide_learning_rate"] for r in state.history] == pytest.approx([0.05 / 2] * 3)
    assert [r["deep_learning_rate"] for r in state.history] == pytest.approx([0.001] * 3)
    seconds = [r["seconds"] for r in state.history]
    assert seconds == sorted(seconds)
    assert (state.step, state.finished) == (12, "budget")


def test_callbacks_hear_of_calls_as_batches_and_evaluations_as_epochs(program, tmp_path):
    calls = Calls()
    Run(program, tmp_path, callbacks=[calls], steps=7).go()
    assert calls.seen == [
        "begin",
        *("epoch 0", "from 0", "to 3", "from 4", "to 4", "epoch 0 ended at 5"),
        *("epoch 1", "from 5", "to 6", "epoch 1 ended at 7"),
        "end",
    ]


@pytest.mark.parametrize(
    ("values", "options", "best_step", "last_step", "finished"),
    [
        # Evaluations follow steps 5, 10, 15, ...
        ([3, 2, 2.5, 2.1], {"patience": 2}, 10, 20, "patience"),
        ([3, 2, 2.5, 1, 2, 2], {"patience": 2}, 20, 30, "patience"),
        ([3, 3, 3], {"patience": 2}, 5, 15, "patience"),
        ([3, 4, 4, 4, 4, 4], {"patience": 0, "steps": 30}, 5, 30, "budget"),
        ([3, 2.9, 2.8, 2.7], {"patience": 1, "min_delta": 0.5}, 5, 10, "patience"),
        ([3, 2.9, 2.4, 2.3], {"patience": 2, "min_delta": 0.5}, 15, 20, None),
        ([math.nan, 3, math.nan, 4], {"patience": 2}, 10, 20, "patience"),
        # The budget and the patience end at the same time: the first is the reason.
        ([3, 4, 5], {"patience": 2, "steps": 15}, 5, 15, "budget"),
    ],
)
def test_patience_counts_evaluations_without_a_better_one(
    program, tmp_path, values, options, best_step, last_step, finished
):
    options = {"steps": 20 if finished is None else 100} | options
    run = Run(program, tmp_path, evaluate_with=scripted(values), **options)
    state = run.go()
    assert (state.best_step, state.step) == (best_step, last_step)
    assert state.finished == (finished or "budget")
    assert state.best_value == values[best_step // 5 - 1]


def test_kept_weights_are_the_averaged_ones_of_the_best_evaluation(program, shared, tmp_path):
    Run(program, tmp_path, evaluate_with=scripted([3, 1, 2]), steps=15).go()
    found = kept_weights(program)
    program.checkpoint.read(shared[1])
    _, expected = by_hand(program, config_of(), 10)
    assert_equal(found, expected)


@pytest.mark.parametrize("options", [{"keep_weights": "last"}, {"evaluate_with": None}])
def test_kept_weights_are_the_last_where_none_is_better(program, shared, tmp_path, options):
    """When asked for, and without validation rows."""
    options = {"evaluate_with": scripted([3, 1, 2])} | options
    state = Run(program, tmp_path, steps=15, patience=1, **options).go()
    assert state.step == 15 if options["evaluate_with"] is None else 10
    found = kept_weights(program)
    program.checkpoint.read(shared[1])
    _, expected = by_hand(program, config_of(), state.step)
    assert_equal(found, expected)


def test_validation_sees_the_averaged_weights_and_training_goes_on_without(
    program, shared, tmp_path
):
    seen = []

    def look():
        seen.append(weights_of(program))
        return {"rmse": 1.0}

    Run(program, tmp_path, evaluate_with=look, steps=5).go()
    after = weights_of(program)
    program.checkpoint.read(shared[1])
    _, averaged = by_hand(program, config_of(), 5)
    assert_equal(seen[0], averaged)
    assert_equal(after, weights_of(program))


@pytest.mark.parametrize(("bad_row", "value"), [(1, "nan"), (1, "inf"), (30, "nan")])
def test_a_loss_that_is_not_finite_ends_training_at_its_step(program, tmp_path, bad_row, value):
    rows = make_rows(52)
    rows[bad_row, -2] = np.array(float(value), np.float32).view(np.int32)
    store = BlockStore(cut(rows, [20, 32]), [20, 32], "memory")
    run = Run(program, tmp_path, steps_per_call=12, eval_steps=12)
    # The first step that has the row, found by its bits in the batches.
    batches = itertools.chain(*(c.numpy() for c in training_rows(run.config, store, run.plan)))
    first = next(i for i, batch in enumerate(batches, 1) if (batch == rows[bad_row]).all(1).any())
    message = rf"the loss is {value} at step {first}; nothing is exported. Lower optimizer"
    with pytest.raises(TrainingFailed, match=message):
        run.go(store)
    assert run.folder.steps() == []


def test_a_signal_ends_the_call_saves_and_interrupts(program, tmp_path):
    calls = Calls()
    run = Run(program, tmp_path, callbacks=[At(8, terminate), calls], eval_steps=20, steps=30)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"SIGTERM at step 8; a checkpoint is saved, start aga"):
        run.go()
    assert signal.getsignal(signal.SIGTERM) == handler
    assert run.folder.steps() == [8]
    assert (run.state.step, run.state.finished) == (8, "")
    assert calls.seen[-2:] == ["to 7", "end"]


def test_a_signal_after_the_last_step_keeps_the_finished_checkpoint(program, tmp_path):
    run = Run(program, tmp_path, callbacks=[At(0, terminate, "end")])
    with pytest.raises(Interrupted, match="SIGTERM at step 12"):
        run.go()
    again = Run(program, tmp_path)
    assert (again.state.step, again.state.finished) == (12, "budget")


def test_a_signal_outside_of_training_is_taken_at_once():
    with pytest.raises(Interrupted, match=r"SIGINT; start again to go on"), StopSignal():
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_signal_goes_where_it_went_before():
    caught = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    try:
        with StopSignal() as stop:
            stop.deferred = True
            terminate()
            assert (stop.requested, caught) == ("SIGTERM", [])
            terminate()
            assert caught == [signal.SIGTERM]
        terminate()
        assert len(caught) == 2
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_another_thread_may_train_and_catches_no_signal():
    handler, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopSignal() as stop:
            seen.append((signal.getsignal(signal.SIGTERM), stop.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(handler, "")]


def finished_run(program, directory, callbacks=(), **training):
    """The state, all variables, and the history without the clock."""
    run = Run(
        program,
        directory,
        evaluate_with=lambda: evaluate(program, VALIDATION),
        callbacks=callbacks,
        **training,
    )
    state = run.go()
    history = [{k: v for k, v in record.items() if "seconds" not in k} for record in state.history]
    rest = {**dataclasses.asdict(state), "seconds": 0, "waiting_seconds": 0, "history": None}
    reader = tf.train.load_checkpoint(f"{run.folder._path(state.step)}/variables")
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    return rest, history, {name: reader.get_tensor(name).tobytes() for name in sorted(names)}


@pytest.mark.parametrize("checkpoint_steps", [0, 3])
def test_a_run_resumed_at_any_boundary_is_the_uninterrupted_one(
    program, shared, tmp_path, checkpoint_steps
):
    """Bit for bit: weights, slots, averages, kept weights, and every number of the history."""
    ends = []
    options = {"checkpoint_steps": checkpoint_steps}
    whole = finished_run(
        program,
        tmp_path / "whole",
        [keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: ends.append(b + 1))],
        **options,
    )
    assert ends == ([4, 5, 9, 10, 12] if not checkpoint_steps else [3, 5, 6, 9, 10, 12])
    for end in ends[:-1]:
        program.checkpoint.read(shared[1])
        directory = tmp_path / f"from-{end}"
        with pytest.raises(Interrupted):
            finished_run(program, directory, [At(end, terminate)], **options)
        # What memory holds must not matter: another process would start from nothing.
        program.checkpoint.read(shared[1])
        assert finished_run(program, directory, **options) == whole


def test_a_new_process_resumes_alike(program, tmp_path):
    whole = finished_run(program, tmp_path / "whole")
    with pytest.raises(Interrupted):
        finished_run(make_program(config_of()), tmp_path / "cut", [At(9, terminate)])
    assert finished_run(make_program(config_of()), tmp_path / "cut") == whole


def test_a_damaged_checkpoint_costs_steps_but_not_the_result(program, shared, tmp_path):
    whole = finished_run(program, tmp_path / "whole", checkpoint_steps=3)
    program.checkpoint.read(shared[1])
    with pytest.raises(Interrupted):
        finished_run(program, tmp_path / "cut", [At(9, terminate)], checkpoint_steps=3)
    (tmp_path / "cut" / "step-000000009" / "state.json").write_text("{")
    program.checkpoint.read(shared[1])
    assert finished_run(program, tmp_path / "cut", checkpoint_steps=3) == whole


def test_a_finished_run_does_no_more_steps(program, shared, tmp_path):
    whole = finished_run(program, tmp_path)
    program.checkpoint.read(shared[1])
    calls = Calls()
    assert finished_run(program, tmp_path, [calls]) == whole
    assert calls.seen == ["begin", "end"]


def test_early_stopping_of_keras_is_heard(program, tmp_path):
    stopping = keras.callbacks.EarlyStopping("val_rmse", mode="min", patience=2)
    run = Run(
        program,
        tmp_path,
        evaluate_with=scripted([3, 2, 2.5, 2.1, 9]),
        callbacks=[stopping],
        steps=100,
    )
    state = run.go()
    assert (state.step, state.finished, stopping.stopped_epoch) == (20, "callback", 3)
    assert run.folder.steps() == [20]


@pytest.mark.parametrize(
    "make_callback",
    [
        lambda folder: keras.callbacks.TensorBoard(str(folder)),
        lambda folder: keras.callbacks.CSVLogger(str(folder / "log.csv")),
        lambda folder: keras.callbacks.ModelCheckpoint(
            str(folder / "{epoch}-{val_rmse:.1f}.weights.h5"), save_weights_only=True
        ),
    ],
)
def test_keras_own_callbacks_work(program, tmp_path, make_callback):
    (tmp_path / "own").mkdir()
    run = Run(
        program,
        tmp_path / "checkpoints",
        evaluate_with=scripted([1.5]),
        callbacks=[make_callback(tmp_path / "own")],
        steps=5,
    )
    run.go()
    names = [p.name for p in (tmp_path / "own").rglob("*") if p.is_file()]
    assert any(n.startswith(("events", "log.csv", "1-1.5.weights.h5")) for n in names)


@pytest.fixture
def timed(monkeypatch):
    """A callback that makes each call of the program take three seconds."""
    now = [1000.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def pass_time(batch, logs):
        now[0] += 3

    return keras.callbacks.LambdaCallback(on_train_batch_end=pass_time)


@pytest.mark.parametrize(
    ("seconds", "last_step", "evaluated"),
    # Calls end at 4, 5, 9, 10 after 3, 6, 9, 12 seconds; the last one is always evaluated.
    [(1, 4, [4]), (6, 5, [5]), (7, 9, [5, 9]), (12, 10, [5, 10])],
)
def test_a_budget_in_seconds_ends_after_the_call_that_spends_it(
    program, tmp_path, timed, seconds, last_step, evaluated
):
    run = Run(program, tmp_path, callbacks=[timed], steps=None, seconds=seconds)
    state = run.go()
    assert (state.step, state.finished) == (last_step, "budget")
    assert [r["step"] for r in state.history] == evaluated
    assert state.history[-1]["seconds"] == state.seconds


def test_seconds_add_up_over_starts(program, tmp_path, timed):
    options = {"steps": None, "seconds": 10}
    with pytest.raises(Interrupted):
        Run(program, tmp_path, callbacks=[timed, At(9, terminate)], **options).go()
    state = Run(program, tmp_path, callbacks=[timed], **options).go()
    assert (state.step, state.seconds) == (10, 12.0)


def saves_of(run, monkeypatch):
    saved = []
    save = run.folder.save

    def spy(step, variables, state):
        saved.append(step)
        save(step, variables, state)

    monkeypatch.setattr(run.folder, "save", spy)
    run.go()
    return saved


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, [12]),
        ({"checkpoint_steps": 3}, [3, 6, 9, 12]),
        ({"checkpoint_steps": 5, "steps": 10}, [5, 10]),
    ],
)
def test_checkpoints_by_steps(program, tmp_path, monkeypatch, options, steps):
    assert saves_of(Run(program, tmp_path, **options), monkeypatch) == steps


@pytest.mark.parametrize(("seconds", "steps"), [(0, [12]), (6, [5, 10, 12]), (8, [9, 12])])
def test_checkpoints_by_seconds(program, tmp_path, monkeypatch, timed, seconds, steps):
    # Calls end at 4, 5, 9, 10, 12 after 3, 6, 9, 12, 15 seconds.
    run = Run(program, tmp_path, callbacks=[timed], checkpoint_seconds=seconds)
    assert saves_of(run, monkeypatch) == steps


def test_the_monitored_metric_decides_and_not_another(program, tmp_path):
    values = iter([{"rmse": 1.0, "mae": 5.0}, {"rmse": 2.0, "mae": 4.0}, {"rmse": 3.0, "mae": 4.5}])
    state = Run(program, tmp_path, evaluate_with=lambda: next(values)).go()
    assert (state.best_step, state.best_value) == (5, 1.0)


def test_a_monitored_metric_without_a_value_is_refused_at_the_first_evaluation(program, tmp_path):
    run = Run(program, tmp_path, evaluate_with=scripted([0.5], name="auc"))
    with pytest.raises(UserError, match=r"training\.monitor rmse is not defined on the validation"):
        run.go()


def test_rows_that_end_before_training_does_are_an_error(program, tmp_path):
    run = Run(program, tmp_path)
    run.plan, plan = dataclasses.replace(run.plan, total_steps=4), run.plan
    rows = list(training_rows(run.config, STORE, run.plan))
    with StopSignal() as stop, pytest.raises(RuntimeError, match="the rows ended at step 4"):
        TrainingLoop(
            program,
            plan,
            run.config.training,
            state=run.state,
            evaluate=None,
            checkpoints=run.folder,
            callbacks=keras.callbacks.CallbackList([], model=program.model),
            stop=stop,
        ).run(rows)
