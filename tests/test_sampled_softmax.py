"""A sampled softmax in a run: its steps against those of the full one, and what is exported."""

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_table import LAYOUT, ROWS, make_config, make_features, statistics_of

from trainer import class_tables
from trainer.candidates import ClassSampler
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.input import unpack_rows
from trainer.model import train_and_evaluate
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.program import Program
from trainer.rows import pack_rows
from trainer.strategy import make_one_device

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import benchmark_softmax

K, BATCH = 12, 8
SGD = {"wide_optimizer": "sgd", "deep_optimizer": "sgd", "momentum": 0, "wide_learning_rate": 0.1}


def make_program(batch_size=BATCH, training=(), num_classes=K, **model):
    model = {"softmax": "sampled", "num_sampled": 5} | model
    if model["softmax"] == "full":
        del model["num_sampled"]
    config = make_config(
        "multiclass",
        model=model,
        optimizer=SGD | {"deep_learning_rate": 0.1},
        training={"batch_size": batch_size} | dict(training),
    )
    counts = tuple((f"k{k}", 1.0 + k % 5) for k in range(num_classes))
    statistics = dataclasses.replace(statistics_of(np.zeros(30)), label=None, classes=counts)
    objective = Objective(config, statistics)
    distribution = make_one_device()
    with distribution.strategy.scope():
        network = WideAndDeep(
            LAYOUT,
            config.model,
            batch_size=batch_size,
            num_outputs=num_classes,
            offset=objective.offset,
        )
    options = {"batch_size": batch_size, "total_steps": 100, "mean_weight": 1.0}
    return Program(distribution, network, objective, config, layout=ROWS, **options)


def make_rows(num_steps=4, batch_size=BATCH, num_classes=K):
    num_rows = num_steps * batch_size
    ids, numbers = make_features(num_rows)
    label = ((3 * ids[:, 0] + ids[:, 2]) % num_classes)[:, None].astype(np.float32)
    packed = pack_rows(ids, numbers, label, np.ones(num_rows, np.float32))
    return tf.constant(packed.reshape(num_steps, batch_size, ROWS.width))


def by_name(program):
    """Weights under the names and in the shapes of the full softmax."""
    found = {}
    for weight in program.model.weights:
        value, path = weight.numpy(), weight.path
        if path.endswith("classes/table"):
            name = path.replace("classes/table", "kernel").replace("numbers/kernel", "numbers")
            found[name] = value.T
        elif path.endswith("_bias/bias"):
            found["output/bias" if "output" in path else "wide/bias"] = value[:, 0]
        elif value.shape[-1] == 1:
            found[path] = value.reshape(-1, K)
        else:
            found[path] = value
    return {"/".join(name.split("/")[-2:]): value for name, value in found.items()}


def states(program):
    return [p.variable.numpy() for p in program.parameters]


def test_of_many_draws_a_step_is_that_of_the_full_softmax():
    full = make_program(softmax="full")
    # More draws than classes are refused, as there is no gain in them.
    sampled = make_program(num_sampled=5)
    sampled.objective.head._sampler = ClassSampler(sampled.objective.head._mass_K, 20_000)
    logits = [p.model(*map(tf.constant, make_features(9))).numpy() for p in (full, sampled)]
    assert logits[0].shape == logits[1].shape == (9, K)
    rows = make_rows()
    initial = by_name(full)
    # The output layer of the one starts as that of the other.
    for weight in sampled.model.weights:
        if weight.path.endswith("output/classes/table"):
            weight.assign(initial["output/kernel"].T)
    losses = [program.train(rows, 0) for program in (full, sampled)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)
    one, other = by_name(full), by_name(sampled)
    assert one.keys() == other.keys()
    for name, weights in one.items():
        moved = np.abs(weights - initial[name]).max()
        assert moved > 0
        np.testing.assert_allclose(other[name], weights, atol=0.01 * moved)


def test_a_step_moves_the_own_and_the_drawn_classes_alone():
    rows = make_rows(1)
    drawn = {}
    for num_sampled in (2, 5):
        program = make_program(num_sampled=num_sampled)
        seed = tf.constant([program.step._seed, 0])
        drawn[num_sampled] = program.objective.draw(seed).numpy()
        assert len(drawn[num_sampled]) == num_sampled
        before = by_name(program)
        program.train(rows, 0)
        own = unpack_rows(rows[0], ROWS).label.numpy()[:, 0].astype(int)
        expected = sorted({*own, *drawn[num_sampled]})
        for name in ("output/kernel", "output/bias", "wide/numbers", "table/table"):
            has_moved = by_name(program)[name] != before[name]
            moved = np.flatnonzero(has_moved.reshape(-1, K).any(axis=0))
            assert moved.tolist() == expected, name


@pytest.mark.parametrize("is_dense", [True, False])
def test_compiled_or_in_parts_or_by_rows_the_steps_are_the_same(is_dense, monkeypatch):
    monkeypatch.setattr(class_tables, "use_dense_update", lambda *_: is_dense)
    rows = make_rows()
    found = []
    for training in ({"xla": False}, {"xla": True}, {"xla": True, "accumulate_steps": 4}):
        program = make_program(training=training)
        losses = program.train(rows, 0)
        assert any(p.is_sparse for p in program.parameters) == (not is_dense)
        found.append([losses, *states(program)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_updates_by_rows_are_those_of_whole_tables(monkeypatch):
    rows = make_rows()
    found = []
    for is_dense in (True, False):
        monkeypatch.setattr(class_tables, "use_dense_update", lambda *_, d=is_dense: d)
        program = make_program()
        found.append([program.train(rows, 0), *states(program)])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "model", "message"),
    [
        ({}, {"num_sampled": 9}, "model.num_sampled has an effect with model.softmax sampled only"),
        ({"task": "binary"}, {"softmax": "sampled"}, "model.softmax sampled is for label.task"),
        ({}, {"softmax": "sampled", "loss": "focal"}, "model.loss focal needs all classes"),
        ({}, {"softmax": "sampled", "label_smoothing": 0.1}, "label_smoothing 0.1 needs all class"),
    ],
)
def test_what_does_not_fit_is_refused(label, model, message):
    with pytest.raises(UserError, match=message):
        make_config(label={"column": "y", "task": "multiclass"} | label, model=model)


def test_as_many_draws_as_classes_are_refused_and_the_log_says_how_many_there_are():
    with pytest.raises(UserError, match=f"model.num_sampled is {K} of {K} classes; lower it"):
        make_program(num_sampled=K)
    assert make_program().objective.describe().endswith("sampled softmax, 5 classes drawn a step")


@pytest.mark.parametrize("planted", list(benchmark_softmax.PLANTED))
def test_planted_classes_have_their_probabilities(planted):
    truth = benchmark_softmax.PLANTED[planted](200)
    rows, ids = benchmark_softmax.planted(truth, 20_000, seed=1)
    expected = truth.probabilities(ids)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-9)
    label = rows[:, -2].view(np.float32).astype(int)
    # Of all rows, and of those of one group and of one place: within 5 standard deviations.
    for part in (ids[:, 0] >= 0, ids[:, 0] == 7, ids[:, 1] == 7):
        mean, variance = (
            f.sum(axis=0) for f in (expected[part], (expected * (1 - expected))[part])
        )
        counts = np.bincount(label[part], minlength=200)
        assert (abs(counts - mean) < 5 * np.sqrt(variance) + 3).all()


def test_what_is_learned_is_measured_against_the_probabilities():
    truth = benchmark_softmax.Peaked(200)
    rows, ids = benchmark_softmax.planted(truth, 300, seed=2)
    p = truth.probabilities(ids)
    best = benchmark_softmax.learned(truth, rows, ids, None)
    assert best["log_loss"] == pytest.approx(-(p * np.log(p)).sum() / 300)
    assert best["accuracy"] == pytest.approx(p.max(axis=1).mean())

    class Even:
        def predict(self, rows):
            return tf.zeros((len(rows), 200))

    even = benchmark_softmax.learned(truth, rows, ids, Even())
    assert even["log_loss"] == pytest.approx(np.log(200), rel=1e-5)
    assert even["accuracy"] == pytest.approx(p[:, 0].mean())


@pytest.mark.slow
def test_what_is_learned_is_within_one_percent_of_the_full_softmax():
    options = ["--classes=2000", "--steps=800", "--rows=200000", "--num_sampled=512"]
    found = benchmark_softmax.measure(benchmark_softmax.parse(options), 1)
    full, sampled = found["full"], found["sampled 512"]
    assert sampled["log_loss"] < 1.01 * full["log_loss"]
    assert sampled["accuracy"] > 0.99 * full["accuracy"]


@pytest.mark.slow
def test_of_twenty_thousand_classes_a_step_is_three_times_as_fast():
    options = ["--batch_size=1024", "--steps=24", "--rows=20000", "--num_sampled=1024"]
    found = benchmark_softmax.measure(benchmark_softmax.parse(options), 1)
    assert found["full"]["step_ms"] > 3 * found["sampled 1024"]["step_ms"]


@pytest.mark.slow
@pytest.mark.parametrize("softmax", ["full", "sampled"])
def test_twenty_thousand_classes_train_and_export(tmp_path, softmax):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    num_rows, num_classes = 40_000, 20_000
    table = pd.DataFrame(
        {
            "a": [f"a{v}" for v in rng.integers(0, 100, num_rows)],
            "b": [f"b{v}" for v in rng.integers(0, 100, num_rows)],
            "x": rng.normal(size=num_rows),
            "z": rng.normal(size=num_rows),
            "y": rng.permutation(np.arange(num_rows) % num_classes),
        }
    )
    config = {
        "columns": {"a": "categorical", "b": "categorical", "x": "numeric", "z": "numeric"},
        "label": {
            "column": "y",
            "task": "multiclass",
            "classes": [str(k) for k in range(num_classes)],
        },
        "model": {"softmax": softmax},
        "training": {"steps": 8, "batch_size": 512},
        "data": {"validation_fraction": 0.02},
        "evaluation": {"baseline": "constant"},
        "output": {"job_dir": str(tmp_path / "run")},
    }
    started = time.monotonic()
    report = train_and_evaluate(parse_config(config, "test"), tables={"train": table})
    print(softmax, round(time.monotonic() - started, 1), "s")
    # Classes cannot be told from the columns; what is exported answers as the full softmax does.
    assert 9.5 < report["metrics"]["validation"]["log_loss"] < 11
    assert report["export_max_difference"] < 1e-6
