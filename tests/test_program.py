"""trainer.program: many steps of a call against one by one, and what is kept of them."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tiny_network import deep_logits, weights_of, wide_logits
from tiny_table import DESCENT, ROWS, make_config, make_program, make_rows, unpack

from trainer.errors import UserError
from trainer.rows import pack_rows

DROPOUT = {"dropout": 0.3, "input_dropout": 0.1}


def run(program, rows_SBW, first_step=0):
    return program.train(tf.constant(rows_SBW), first_step)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One compiled program, and its state before the first step."""
    program = make_program(make_config(model=DROPOUT))
    return program, program.checkpoint.write(str(tmp_path_factory.mktemp("initial") / "state"))


@pytest.fixture
def fresh(shared):
    """Gives the program as it was when it was new."""
    program, initial = shared

    def reset():
        program.checkpoint.read(initial).assert_consumed()
        return program

    return reset


@pytest.fixture
def state_of(tmp_path):
    """Everything that a checkpoint holds, as bytes by name."""

    def read(program):
        reader = tf.train.load_checkpoint(program.checkpoint.write(str(tmp_path / "state")))
        names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
        return {name: reader.get_tensor(name).tobytes() for name in sorted(names)}

    return read


def test_a_checkpoint_holds_weights_slots_averages_and_kept_weights(fresh, state_of):
    names = list(state_of(fresh()))
    counts = [sum(n.startswith(p) for n in names) for p in ("weights", "optimizer", "ave", "best")]
    # FTRL and AdamW have two slots a weight.
    assert counts == [13, 26, 13, 13]
    assert len(names) == 65


@pytest.mark.parametrize("bounds", [range(13), (0, 5, 6, 12)])
def test_many_steps_in_one_call_are_the_steps_one_by_one(fresh, state_of, bounds):
    rows = make_rows(12 * 8, seed=2).reshape(12, 8, ROWS.width)
    program = fresh()
    losses = run(program, rows)
    assert losses.shape == (12,)
    together = state_of(program)
    program = fresh()
    pieces = [run(program, rows[a:b], a) for a, b in itertools.pairwise(bounds)]
    assert losses.tolist() == np.concatenate(pieces).tolist()
    assert state_of(program) == together


def test_dropout_and_rates_follow_the_step_number(fresh, state_of):
    """Steps that begin elsewhere are other steps, on the same rows."""
    rows = make_rows(8)[None]
    results = []
    for step in (5, 6, 5):
        program = fresh()
        results.append((run(program, rows, step).tolist(), state_of(program)))
    assert results[0] == results[2]
    assert results[0][0] != results[1][0]


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_the_smallest_and_the_largest_seed_train_with_dropout_of_their_own(fresh, seed):
    rows, losses = make_rows(8)[None], []
    for program in (fresh(), make_program(make_config(model=DROPOUT, training={"seed": seed}))):
        for weight in program.model.weights:
            weight.assign(tf.ones_like(weight) * 0.1)
        losses.append(run(program, rows)[0])
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


def scaled_weights(rows, factor):
    ids, numbers, label, weight = unpack(rows)
    arrays = (numbers, label[:, None], weight * factor)
    return pack_rows(ids, *(array.astype(np.float32) for array in arrays))


def test_weights_count_relative_to_their_mean(fresh, state_of):
    """Weights of twice the size, with a mean of twice the size, are the same training."""
    rows = make_rows(24).reshape(3, 8, ROWS.width)
    doubled = scaled_weights(rows.reshape(24, -1), 2.0).reshape(rows.shape)
    one, two = fresh(), make_program(make_config(model=DROPOUT), mean_weight=2.0)
    assert run(one, rows).tolist() == run(two, doubled).tolist()
    assert state_of(one) == state_of(two)


def test_a_row_of_weight_0_does_not_train(fresh, state_of):
    rows = make_rows(8)
    other = rows.copy()
    other[3] = make_rows(8, seed=9)[3]
    results = []
    for batch in (rows, other):
        batch[3, -1] = 0  # the bits of 0.0
        program = fresh()
        results.append((run(program, batch[None]).tolist(), state_of(program)))
    assert results[0] == results[1]


def test_moving_average_follows_the_weights():
    """d = min(decay, (1 + t) / (10 + t)): 0.1, 2/11, 0.25, ..."""
    program = make_program(make_config(optimizer=DESCENT | {"ema_decay": 0.2}))
    rows = make_rows(4 * 8).reshape(4, 8, ROWS.width)
    shadow = weights_of(program)
    for step, decay in enumerate([0.1, 2 / 11, 0.2, 0.2]):
        run(program, rows[step : step + 1], step)
        weights = weights_of(program)
        shadow = {n: decay * shadow[n] + (1 - decay) * weights[n] for n in weights}
    program.average.swap()
    for name, value in weights_of(program).items():
        np.testing.assert_allclose(value, shadow[name], rtol=1e-5, atol=1e-7, err_msg=name)
    program.average.swap()
    for name, value in weights_of(program).items():
        np.testing.assert_array_equal(value, weights[name])


def test_without_decay_there_is_no_average():
    assert make_program(make_config(optimizer={"ema_decay": 0})).average is None


def test_predicted_logits_are_the_models():
    program = make_program(make_config("binary", model=DROPOUT), labels=(1.0, 0.0, 0.0, 0.0))
    run(program, make_rows(8, task="binary")[None])
    rows = make_rows(5, seed=8, task="binary")
    ids, numbers, _, _ = unpack(rows)
    weights = weights_of(program)
    expected = np.log(1 / 3) + wide_logits(weights, ids, numbers)
    expected += deep_logits(weights, ids, numbers)
    found = program.predict(tf.constant(rows))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_kept_weights_come_back_unchanged(fresh):
    program = fresh()
    rows = make_rows(24).reshape(3, 8, ROWS.width)
    run(program, rows[:1])
    kept = weights_of(program)
    program.best.capture()
    run(program, rows[1:], 1)
    assert not np.array_equal(weights_of(program)["hidden_1/kernel"], kept["hidden_1/kernel"])
    program.best.restore()
    for name, value in weights_of(program).items():
        np.testing.assert_array_equal(value, kept[name])


def test_a_checkpoint_restores_into_a_new_program(fresh, tmp_path, state_of):
    rows = make_rows(4 * 8).reshape(4, 8, ROWS.width)
    program = fresh()
    run(program, rows)
    whole = state_of(program)
    program = fresh()
    run(program, rows[:2])
    path = program.checkpoint.write(str(tmp_path / "variables"))
    other = make_program(make_config(model=DROPOUT))
    other.checkpoint.read(path).assert_consumed()
    run(other, rows[2:], 2)
    assert state_of(other) == whole


def test_xla_computes_the_same_steps():
    rows = make_rows(3 * 8).reshape(3, 8, ROWS.width)
    plain, compiled = (
        make_program(make_config(model=DROPOUT, optimizer=DESCENT, training={"xla": xla}))
        for xla in (False, True)
    )
    np.testing.assert_allclose(run(compiled, rows), run(plain, rows), rtol=1e-5)
    expected = weights_of(plain)
    for name, value in weights_of(compiled).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_compiled_calls_of_any_length_are_the_steps_one_by_one(state_of):
    rows = make_rows(12 * 8, seed=2).reshape(12, 8, ROWS.width)
    results = []
    for bounds in ((0, 12), (0, 1, 7, 12)):
        config = make_config(model=DROPOUT, training={"xla": True})
        program = make_program(config, longest_call=12)
        losses = [run(program, rows[a:b], a) for a, b in itertools.pairwise(bounds)]
        assert [len(part) for part in losses] == list(np.diff(bounds))
        results.append((np.concatenate(losses).tolist(), state_of(program)))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("xla", "batch_size", "total_steps", "expected"),
    [
        ("auto", 8, 5999, False),
        ("auto", 8, 6000, True),
        ("auto", 4096, 976, False),
        ("auto", 4096, 977, True),  # 4 million examples
        ("auto", 8, None, True),  # a budget in seconds
        (False, 8, 1_000_000, False),
        (True, 8, 1, True),
    ],
)
def test_long_runs_are_compiled(xla, batch_size, total_steps, expected):
    config = make_config(training={"xla": xla})
    program = make_program(config, batch_size=batch_size, total_steps=total_steps)
    assert program.is_compiled is expected


def test_a_batch_in_parts_is_compiled_on_demand_alone():
    for xla, expected in (("auto", False), (True, True)):
        config = make_config(training={"xla": xla, "accumulate_steps": 2})
        assert make_program(config, total_steps=1_000_000).is_compiled is expected


@pytest.mark.parametrize("xla", [False, True])
def test_calls_of_many_lengths_are_traced_once(xla):
    """A trace costs a second, and a run has calls of several lengths."""
    program = make_program(make_config(optimizer=DESCENT, training={"xla": xla}))
    rows = make_rows(6 * 8).reshape(6, 8, ROWS.width)
    for length in (1, 2, 3, 6):
        run(program, rows[:length])
    assert program.run_steps.experimental_get_tracing_count() == 1


def test_a_seed_that_tensorflow_cannot_hold_is_refused():
    with pytest.raises(UserError, match=r"training.seed"):
        make_config(training={"seed": 2**31})
