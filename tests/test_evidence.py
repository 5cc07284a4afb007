"""trainer.insight.evidence: what producers are given is what the model was measured with."""

import numpy as np
from tiny_table import make_config, make_program, make_store

from trainer.evaluation import take_in


def test_predictions_that_are_kept_are_those_of_the_metrics():
    store = make_store(40)
    program = make_program(make_config())
    measured = take_in(program, store, most_kept=40)
    rows = np.concatenate(list(store.in_order()))
    floats = rows.view(np.float32)
    np.testing.assert_array_equal(measured.kept.labels[:, 0], floats[:, -2])
    np.testing.assert_array_equal(measured.kept.weight, floats[:, -1])
    prediction = np.asarray(program.objective.prediction(measured.kept.logits))
    error = measured.kept.labels[:, 0] - prediction
    rmse = np.sqrt(np.average(error.astype(float) ** 2, weights=measured.kept.weight))
    np.testing.assert_allclose(measured.evaluator.result()["rmse"], rmse, rtol=1e-6)


def test_of_a_large_set_the_first_rows_are_kept():
    program = make_program(make_config())
    whole = take_in(program, make_store(40), most_kept=1000).kept
    first = take_in(program, make_store(40), most_kept=13).kept
    assert [len(column) for column in whole] == [40, 40, 40]
    for column, part in zip(whole, first, strict=True):
        np.testing.assert_array_equal(part, column[:13])
    assert [len(column) for column in take_in(program, make_store(40)).kept] == [0, 0, 0]
