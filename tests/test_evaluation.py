"""trainer.evaluation: every row once, by the weights that are asked for."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, mean_squared_error
from tiny_table import cut, make_config, make_program, make_rows, make_store

from trainer import evaluation
from trainer.decision import decide
from trainer.evaluation import (
    Predictions,
    averaged_weights,
    decide_on,
    evaluate,
    predict,
)
from trainer.evaluation_config import EvaluationConfig
from trainer.row_stores import BlockStore


@pytest.fixture(scope="module")
def program():
    """A model after two steps, with an average that differs from its weights."""
    program = make_program(make_config(model={"dropout": 0.5}))
    rows = make_rows(16).reshape(2, 8, -1)
    program.train(tf.constant(rows), 0)
    return program


def whole(pieces):
    """All rows as one piece."""
    return Predictions(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def logits_of(program, rows):
    """One row at a time: nothing that a batch could mix up."""
    return np.concatenate([program.predict(tf.constant(row[None])) for row in rows])


@pytest.mark.parametrize(
    ("num_rows", "limit_rows"), [(1, 0), (40, 0), (40, 7), (40, 40), (40, 99), (257, 0), (600, 300)]
)
def test_predictions_are_of_each_row_once_in_file_order(program, monkeypatch, num_rows, limit_rows):
    monkeypatch.setattr(evaluation, "MOST_BATCH_ROWS", 256)
    store, rows = make_store(num_rows), make_rows(num_rows)
    kept = min(limit_rows or num_rows, num_rows)
    found = whole(predict(program, store, limit_rows))
    floats = rows.view(np.float32)[:kept]
    np.testing.assert_array_equal(found.labels, floats[:, -2:-1])
    np.testing.assert_array_equal(found.weight, floats[:, -1])
    assert found.logits.shape == (kept, 1)
    some = slice(0, kept, max(1, kept // 8))
    expected = logits_of(program, rows[:kept][some])
    np.testing.assert_allclose(found.logits[some], expected, rtol=1e-5, atol=1e-5)


def test_a_set_without_rows_has_no_prediction(program):
    store = BlockStore(cut(make_rows(0), []), [], "memory")
    assert list(predict(program, store)) == []
    assert evaluate(program, store) == {"num_rows": 0, "sum_weight": 0}


def test_regression_metrics_are_weighted_and_in_the_labels_unit(program):
    store, rows = make_store(300), make_rows(300)
    label, weight = rows.view(np.float32)[:, -2:].T.astype(np.float64)
    # The labels of `make_program` have mean and standard deviation 0.5.
    value = 0.5 + 0.5 * logits_of(program, rows)[:, 0].astype(np.float64)
    found = evaluate(program, store)
    error = mean_squared_error(label, value, sample_weight=weight)
    assert found["rmse"] == pytest.approx(np.sqrt(error), rel=1e-5)
    assert found["mean_prediction"] == pytest.approx(np.average(value, weights=weight), rel=1e-4)
    assert (found["num_rows"], found["sum_weight"]) == (300, pytest.approx(weight.sum()))
    first = evaluate(program, store, limit_rows=100)
    error = mean_squared_error(label[:100], value[:100], sample_weight=weight[:100])
    assert first["rmse"] == pytest.approx(np.sqrt(error), rel=1e-5)
    assert first["num_rows"] == 100


def test_binary_metrics_come_from_logits():
    program = make_program(make_config("binary"), labels=(0.0, 0.0, 1.0))
    store, rows = make_store(60, task="binary"), make_rows(60, task="binary")
    label, weight = rows.view(np.float32)[:, -2:].T.astype(np.float64)
    probability = 1 / (1 + np.exp(-logits_of(program, rows)[:, 0].astype(np.float64)))
    found = evaluate(program, store)
    expected = log_loss(label, probability, sample_weight=weight)
    assert found["log_loss"] == pytest.approx(expected, rel=1e-5)


def test_averaged_weights_are_there_for_the_time_of_the_block(program):
    def values():
        return [p.variable.numpy() for p in program.parameters]

    before, shadows = values(), [s.numpy() for s in program.average.shadows]
    with averaged_weights(program):
        for found, expected in zip(values(), shadows, strict=True):
            np.testing.assert_array_equal(found, expected)
    with pytest.raises(RuntimeError), averaged_weights(program):
        raise RuntimeError
    for found, expected in zip(values(), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert any(not np.array_equal(b, s) for b, s in zip(before, shadows, strict=True))


def test_pieces_of_many_outputs_are_bounded(program, monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_BATCH_LOGITS", 300)
    pieces = list(predict(program, make_store(600)))
    assert [len(piece.weight) for piece in pieces] == [256, 256, 88]
    np.testing.assert_array_equal(whole(pieces).weight, make_rows(600).view(np.float32)[:, -1])


def test_without_an_average_the_weights_stay():
    program = make_program(make_config(optimizer={"ema_decay": 0.0}))
    before = [p.variable.numpy() for p in program.parameters]
    with averaged_weights(program):
        after = [p.variable.numpy() for p in program.parameters]
    for found, expected in zip(after, before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_validation_rows_decide_once_and_for_all_parts(caplog):
    program = make_program(make_config("binary"), labels=(0.0, 0.0, 1.0))
    store = make_store(300, task="binary")
    config = EvaluationConfig(threshold="f1", calibration="platt")
    with caplog.at_level(logging.INFO, "trainer.evaluation"):
        before = decide_on(program, config, store)
    rows = whole(predict(program, store))
    expected = decide(config, "binary", *rows)
    assert program.objective.decision == expected
    assert caplog.messages == [expected.describe()]
    # What training has watched: no calibration, and one half.
    undecided = make_program(make_config("binary"), labels=(0.0, 0.0, 1.0)).objective
    assert before == undecided.metrics(*rows)
    after = evaluate(program, store)
    assert after == program.objective.metrics(*rows)
    assert after["f1"] > before["f1"]
    assert after["log_loss"] < before["log_loss"]
